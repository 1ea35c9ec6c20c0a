// Vercel's AI SDK against a daemon: `node ai_sdk.mjs ADDRESS KEY`. Prints the name of each check that holds.
import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embedMany, generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const [address, apiKey] = process.argv.slice(2);
const baseURL = `${address}/v1`;
const openai = createOpenAI({ baseURL, apiKey });
const compatible = createOpenAICompatible({
  name: "agentd",
  baseURL,
  apiKey,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const NAMES = ["agent", "openai:willing"];
const MODELS = NAMES.flatMap((name) => [compatible.chatModel(name), openai.chat(name), openai.responses(name)]);
const THREE = "w0 w1 w2";
const asked = (model, more) => ({ model, prompt: "words=3", maxRetries: 0, ...more });
const magic_function = tool({
  description: "Applies magic to a number.",
  inputSchema: z.object({ input: z.number() }),
  execute: async ({ input }) => input + 2,
});

const checks = {
  async text() {
    for (const model of MODELS) {
      const { text, usage, finishReason } = await generateText(asked(model));
      assert.deepEqual([text.trim(), finishReason], [THREE, "stop"]);
      assert.ok(usage.inputTokens > 0 && usage.outputTokens > 0);
    }
  },
  async stream() {
    for (const model of MODELS) {
      const failures = [];
      const stream = streamText(asked(model, { prompt: "words=3 ms=100", onError: ({ error }) => failures.push(error) }));
      const pieces = [];
      for await (const piece of stream.textStream) pieces.push(piece);
      assert.deepEqual(failures, []);
      assert.equal(pieces.join("").trim(), THREE);
      assert.ok(pieces.length >= 3, "piece by piece");
      assert.ok((await stream.usage).outputTokens > 0);
    }
  },
  async tools() {
    for (const model of MODELS) {
      const prompt = "What is magic_function(3)?";
      const options = asked(model, { prompt, tools: { magic_function }, stopWhen: stepCountIs(3) });
      const { steps, text } = await generateText(options);
      assert.equal(steps[0].toolResults[0].output, 5);
      assert.equal(steps.length, 2);
      assert.match(text, /^w0 w1/);
      const stream = streamText(options);
      await stream.consumeStream();
      assert.equal((await stream.steps)[0].toolResults[0].output, 5);
    }
  },
  async tool_choice() {
    for (const model of MODELS) {
      const { toolCalls } = await generateText(asked(model, { tools: { magic_function }, toolChoice: "required" }));
      assert.equal(toolCalls[0].toolName, "magic_function");
    }
  },
  async objects() {
    const schema = z.object({ name: z.string(), parts: z.array(z.object({ count: z.number() })) });
    for (const model of MODELS) {
      const { object } = await generateObject(asked(model, { schema, prompt: "A thing of 4 parts" }));
      assert.equal(object.parts[0].count, 4);
    }
  },
  async conversation() {
    const messages = [
      { role: "system", content: "Be brief." },
      { role: "user", content: "words=2" },
      { role: "assistant", content: "w0 w1" },
      { role: "user", content: [{ type: "text", text: "words=3" }] },
    ];
    for (const model of MODELS) {
      const { text } = await generateText(asked(model, { prompt: undefined, messages }));
      assert.equal(text.trim(), THREE);
    }
  },
  async go_on_from_a_response() {
    for (const name of NAMES) {
      const first = await generateText(asked(openai.responses(name)));
      const previousResponseId = first.providerMetadata.openai.responseId;
      const options = { prompt: "words=2", providerOptions: { openai: { previousResponseId } } };
      assert.equal((await generateText(asked(openai.responses(name), options))).text.trim(), "w0 w1");
    }
  },
  async embeddings() {
    for (const model of [openai.embedding("static:minilm-256-1"), compatible.embeddingModel("static:minilm-256-1")]) {
      const { embeddings } = await embedMany({ model, values: ["one", "two"] });
      assert.deepEqual(embeddings.map((one) => one.length), [256, 256]);
    }
  },
  async errors() {
    for (const model of [compatible.chatModel("gpt-9"), openai.chat("gpt-9"), openai.responses("gpt-9")]) {
      const isNotFound = (error) => APICallError.isInstance(error) && error.statusCode === 404;
      await assert.rejects(generateText(asked(model)), isNotFound);
    }
  },
  async abort() {
    for (const model of MODELS) {
      const stopped = new AbortController();
      const stream = streamText(asked(model, { prompt: "words=500 ms=20", abortSignal: stopped.signal }));
      for await (const _ of stream.textStream) stopped.abort();
    }
  },
};

for (const [name, check] of Object.entries(checks)) {
  await check();
  console.log(name);
}
