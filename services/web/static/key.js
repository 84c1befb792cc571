// The key of this visit: asked for where the server answers 401, kept until the tab is closed, sent with each request.

const NAME = "cliplane-key";

export const keep = (key) => sessionStorage.setItem(NAME, key);

export const hasKey = () => sessionStorage.getItem(NAME) !== null;

/** Headers that say who asks. */
export function authorization() {
  return hasKey() ? { Authorization: `Bearer ${sessionStorage.getItem(NAME)}` } : {};
}
