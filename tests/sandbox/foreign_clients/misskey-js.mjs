// Misskey's own client.
import { api, Stream } from "misskey-js";
import { WebSocket } from "ws";
import { allowed, until } from "./sign-in.mjs";

const [origin] = process.argv.slice(2);
const session = await allowed(origin, "misskey-js");
const { ok, token, user } = await new api.APIClient({ origin }).request(`miauth/${session}/check`);
const client = new api.APIClient({ origin, credential: token });
const refusal = await client.request("drive").catch((error) => api.isAPIError(error) && error.code);

const stream = new Stream(origin, { token }, { WebSocket });
const next = (channel, event) => new Promise((resolve) => stream.useChannel(channel).once(event, resolve));
const bob = new api.APIClient({ origin, credential: "bobbyNativeToken" });
const note = next("homeTimeline", "note");
const notification = next("main", "notification");
const heard = Promise.all([note, notification]);
await until(heard, (text) => bob.request("notes/create", { text: `@alice ${text}` }));
stream.close();

console.log(JSON.stringify({
  signedIn: ok && user.username,
  called: (await client.request("i")).username,
  refused: refusal,
  posted: (await client.request("notes/create", { text: "from misskey-js" })).createdNote.text,
  heard: [(await note).user.username, (await notification).type],
}));
