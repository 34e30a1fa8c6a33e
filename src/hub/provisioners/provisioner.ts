import type { MadeEnd } from '../../contract/fleet/provisioning.ts'

/** A runner that is to be made. */
export interface ProvisionNeed {
  /** Names it among all that there are: asked for twice it is made once. */
  name: string
  group: string
  /** The environment that its runner starts with: the hub's address, a token that is good once, its id and group. */
  env: Readonly<Record<string, string>>
  /** Said of it where the engine keeps words beside things, such as labels. */
  marks: Readonly<Record<'hub' | 'run' | 'epoch' | 'group', string>>
  /** By then it is to be gone, whatever becomes of the hub; in milliseconds since 1970. */
  deadlineMs: number
}

/** A runner of this hub as its engine sees it. */
export interface FoundRunner {
  name: string
  /** `ended`: its process is over, and what it left is still there. */
  state: 'starting' | 'running' | 'ended'
  /** Why it has not started, or how it ended. */
  message?: string
  /** Of one that ended: its memory was used up. */
  reason?: 'oom'
  /** Of one that ended before it began: asking again changes nothing until a person has mended it. */
  permanent?: boolean
}

/**
 * Makes runners in one way. Names are the hub's; of one name there is one call at a time. Each call rejects with a
 * `ProvisionError`, after which a repeat is harmless.
 */
export interface Provisioner {
  /** Resolves once the engine has accepted it; where it is there already, that is what it is. */
  provision(need: ProvisionNeed, signal: AbortSignal): Promise<void>
  /** All of this hub's, and nothing else. */
  find(signal: AbortSignal): Promise<FoundRunner[]>
  /** Takes it away: it is gone when this resolves, with all that it started; gone or never there is the same. */
  remove(name: string, signal: AbortSignal): Promise<void>
  /** The outside service that it speaks to; absent: none of its own. Throws where its settings do not say. */
  service?(): Promise<{ service: 'docker' | 'kubernetes'; address: string }>
  /** Keeps no connection between calls any more: not after those under way either, and later ones have their own. */
  close?(): void
}

/** Why a runner could not be made, found or taken away. */
export class ProvisionError extends Error {
  readonly end: MadeEnd
  /** Asking again changes nothing until a person has mended it. */
  readonly permanent: boolean
  /** Neither a yes nor a no: nothing is known of what there is. */
  readonly unanswered: boolean
  readonly hint: string | undefined

  constructor(
    message: string,
    {
      end = 'refused',
      permanent = false,
      unanswered = false,
      hint,
      cause,
    }: { end?: MadeEnd; permanent?: boolean; unanswered?: boolean; hint?: string; cause?: unknown } = {},
  ) {
    super(message, { cause })
    this.end = end
    this.permanent = permanent
    this.unanswered = unanswered
    this.hint = hint
  }
}

/** A sentence of what somebody else said. */
export const sentence = (said: string): string => said.trim().replace(/\.?$/, '.')

/** An answer that is none, for a person. */
export const shownAnswer = (said: string): string =>
  said.trim() === '' ? 'nothing' : JSON.stringify(said.slice(0, 200))

/** `Message. Hint`, of whatever was thrown. */
export function provisionText(error: unknown): string {
  const { message } = error as Error
  const hint = error instanceof ProvisionError ? error.hint : undefined
  return hint === undefined ? message : `${message} ${hint}`
}
