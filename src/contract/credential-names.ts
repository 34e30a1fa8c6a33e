/** Credentials whose names end in no such way. */
const oddlyNamed = new Set(['ANTHROPIC_CUSTOM_HEADERS', 'AWS_BEARER_TOKEN_BEDROCK'])

/** How the name of a credential ends; `KEY`, `PASS`, `PWD` and `PAT` by themselves are other things too. */
const CREDENTIAL =
  /(^|_)(API_?KEY|(ACCESS|AUTH)?TOKEN|SECRETS?|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|JWT)$|_(KEY|PASS|PWD|PAT)$|PASSWORD|PASSWD/i

/** Keys that open nothing: parts of tables, caches and queues; what is public; paths of files that hold a credential. */
const NO_CREDENTIAL =
  /(^|_)(PUBLIC|PUB|PRIMARY|FOREIGN|UNIQUE|SORT|PARTITION|SHARD|ROW|INDEX|GROUP|CACHE|ROUTING|OBJECT|IDEMPOTENCY|HOT)_KEY$|_(FILE|PATH|DIR|FOLDER|LENGTH|POLICY|PROMPT|REQUIRED|ENABLED|COMMAND)$|^GOOGLE_APPLICATION_CREDENTIALS$/i

/** Whether a variable of this name holds a credential, as far as a name can tell. */
export const isCredentialName = (name: string): boolean =>
  oddlyNamed.has(name) || (CREDENTIAL.test(name) && !NO_CREDENTIAL.test(name))
