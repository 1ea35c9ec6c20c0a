// OpenAI's client for Node.js against a daemon: `node openai_node.mjs ADDRESS KEY`. Prints the name of each check that holds.
import assert from "node:assert/strict";
import OpenAI from "openai";

const [address, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey, maxRetries: 0 });
const MODELS = ["agent", "openai:willing"];
const THREE = "w0 w1 w2";
const messages = [{ role: "user", content: "words=3" }];

const checks = {
  async chat() {
    for (const model of MODELS) {
      const reply = await client.chat.completions.create({ model, messages });
      assert.equal(reply.choices[0].message.content.trim(), THREE);
    }
  },
  async chat_stream() {
    for (const model of MODELS) {
      const stream = client.chat.completions.stream({ model, messages });
      assert.equal((await stream.finalContent()).trim(), THREE);
    }
  },
  async responses() {
    for (const model of MODELS) {
      const first = await client.responses.create({ model, input: "words=3" });
      assert.equal(first.output_text.trim(), THREE);
      const second = await client.responses.create({ model, input: "words=2", previous_response_id: first.id });
      assert.equal(second.output_text.trim(), "w0 w1");
    }
  },
  async responses_stream() {
    for (const model of MODELS) {
      const stream = client.responses.stream({ model, input: "words=3" });
      assert.equal((await stream.finalResponse()).output_text.trim(), THREE);
    }
  },
  async conversations() {
    const { id } = await client.conversations.create({});
    await client.responses.create({ model: "agent", input: "words=3", conversation: id });
    const items = [];
    for await (const item of client.conversations.items.list(id)) items.push(item);
    assert.equal(items.length, 2);
  },
  async embeddings() {
    const reply = await client.embeddings.create({ model: "static:minilm-256-1", input: "one" });
    assert.equal(reply.data[0].embedding.length, 256);
  },
  async errors() {
    const asked = client.chat.completions.create({ model: "gpt-9", messages });
    await assert.rejects(asked, (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found");
  },
};

for (const [name, check] of Object.entries(checks)) {
  await check();
  console.log(name);
}
