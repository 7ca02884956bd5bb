// The sign-in that both clients leave to their programs: alice allows what is asked, as in a browser.
import { randomUUID } from "node:crypto";

export const PERMISSIONS = ["read:account", "read:notifications", "write:notes"];

/** Returns the id of a session that alice has allowed. */
export async function allowed(origin, name) {
  const session = randomUUID();
  const query = new URLSearchParams({ name, permission: PERMISSIONS.join(",") });
  const page = `${origin}/miauth/${session}?${query}`;
  const asked = await (await fetch(page)).text();
  if (!asked.includes(name) || !asked.includes('value="alice"')) throw new Error(`This does not ask alice: ${asked}`);
  const choice = new URLSearchParams({ person: "alice", decision: "allow" });
  const answer = await (await fetch(page, { method: "POST", body: choice })).text();
  if (!answer.includes("go back to the application")) throw new Error(`This is not allowed: ${answer}`);
  return session;
}

/** Posts notes until one is heard: no client knows when the server has connected its channels. */
export async function until(heard, post) {
  let isHeard = false;
  heard.then(() => (isHeard = true));
  for (let count = 1; !isHeard; count++) {
    await post(`note ${count}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return heard;
}
