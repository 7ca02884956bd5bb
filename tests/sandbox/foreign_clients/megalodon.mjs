// A client for many kinds of servers; what it calls Firefish is Misskey's API. It has an older sign-in than MiAuth, and
// looks up a stream's address as only Firefish tells it.
import generator from "megalodon";
import { allowed, until } from "./sign-in.mjs";

const [origin] = process.argv.slice(2);
const session = await allowed(origin, "megalodon");
const check = { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" };
const { ok, token, user } = await (await fetch(`${origin}/api/miauth/${session}/check`, check)).json();
const create = generator.default ?? generator;
const client = create("firefish", origin, token, "megalodon");
const refusal = await client.getStatus("none").catch((error) => error.response?.data.error.code);

const stream = client.client.socket(`${origin.replace("http", "ws")}/streaming`, "user");
const bob = create("firefish", origin, "bobbyNativeToken", "megalodon");
const note = new Promise((resolve) => stream.once("update", resolve));
const notification = new Promise((resolve) => stream.once("notification", resolve));
const heard = Promise.all([note, notification]);
await until(heard, (text) => bob.postStatus(`@alice ${text}`));
stream.stop();

console.log(JSON.stringify({
  signedIn: ok && user.username,
  called: (await client.verifyAccountCredentials()).data.username,
  refused: refusal,
  posted: (await client.postStatus("from megalodon")).data.plain_content,
  heard: [(await note).account.username, (await notification).type],
}));
process.exit(); // rather than after ten seconds, when it would ping
