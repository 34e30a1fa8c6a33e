import * as z from './mini-zod.ts'

/**
 * Characters with which a list would show another name than is meant: control characters, line breaks, changes of text
 * direction, halves of characters, and invisible ones. The joiners (U+200C, U+200D) are allowed, because some scripts
 * need them.
 */
const MISLEADING = String.raw`\p{Cc}\p{Cs}\u00ad\u061c\u115f\u1160\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\u3164\ufeff\uffa0`
const misleading = new RegExp(`[${MISLEADING}]`, 'u')
const anyMisleading = new RegExp(misleading, 'gu')
/** Matches a text, perhaps empty, without such characters. */
export const notMisleading = new RegExp(`^[^${MISLEADING}]*$`, 'u')
/** Returns a text without such characters, for names that people did not choose. */
export const withoutMisleading = (text: string): string => text.replaceAll(anyMisleading, '')
export const NOT_MISLEADING_RULE =
  'it must not contain control characters, invisible characters or characters that reverse the direction of text'

/** Returns the fault of a name that people read in lists and write in commands; undefined when it has none. */
export function nameFault(name: string, most: number): string | undefined {
  const found = misleading.exec(name)
  if (found !== null) {
    const code = found[0].codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')
    return `it contains the character U+${code} at position ${found.index + 1}`
  }
  if (name.trim() === '') return 'it is empty'
  if (name !== name.trim()) return 'it begins or ends with a blank'
  return name.length > most ? `it has ${name.length} characters; the maximum is ${most}` : undefined
}

/** Most characters in the name of a runner, group, token or label, and in a label's value. */
export const MAX_NAME = 200

/** The rule of a variable's name, in words. */
export const VAR_NAME_RULE =
  'a variable name is at most 128 letters, digits or "_", does not start with a digit, and is not "__proto__"'

/** A variable's name, as a process's environment accepts it. JavaScript reserves `__proto__`: JSON loses it. */
export const VarName = z
  .string()
  .check(z.regex(/^(?!__proto__$)[A-Za-z_][A-Za-z0-9_]{0,127}$/, VAR_NAME_RULE))

/** Credentials whose names end in another way. */
const oddlyNamed = new Set(['ANTHROPIC_CUSTOM_HEADERS', 'AWS_BEARER_TOKEN_BEDROCK', 'ERRAND_SMTP_URL'])

/** Matches how a credential's name ends; `KEY`, `PASS`, `PWD` and `PAT` alone have other meanings too. */
const CREDENTIAL =
  /(^|_)(API_?KEY|(ACCESS|AUTH)?TOKEN|SECRETS?|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|JWT)$|_(KEY|PASS|PWD|PAT)$|PASSWORD|PASSWD/i

/**
 * Matches keys that are not credentials: of tables, caches and queues; public ones; and paths of files that hold a
 * credential.
 */
const NO_CREDENTIAL =
  /(^|_)(PUBLIC|PUB|PRIMARY|FOREIGN|UNIQUE|SORT|PARTITION|SHARD|ROW|INDEX|GROUP|CACHE|ROUTING|OBJECT|IDEMPOTENCY|HOT)_KEY$|_(FILE|PATH|DIR|FOLDER|LENGTH|POLICY|PROMPT|REQUIRED|ENABLED|COMMAND)$|^GOOGLE_APPLICATION_CREDENTIALS$/i

/** Reports whether a variable with this name holds a credential, as far as a name can tell. */
export const isCredentialName = (name: string): boolean =>
  oddlyNamed.has(name) || (CREDENTIAL.test(name) && !NO_CREDENTIAL.test(name))

/** The variables of a runner's or host agent's own environment that a command gets: never a token or an API key. */
export const passedOnVariables = ['PATH', 'HOME', 'USER', 'LANG', 'TZ', 'TMPDIR', 'SHELL'] as const
