/** What a try of bubblewrap on this machine has shown. */
export type Found =
  | { type: 'usable'; path: string; version: string; disablesUserNamespaces: boolean }
  | { type: 'unusable'; why: string; hint: string }
