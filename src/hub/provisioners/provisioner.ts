import type { ProvisionedEnd } from '../../contract/fleet/provisioning.ts'

/** Describes a runner to make. */
export interface ProvisionNeed {
  /** Unique name: a runner that is asked for twice is made once. */
  name: string
  group: string
  /** Environment that the runner starts with: the hub's address, a token that works once, its id and its group. */
  env: Readonly<Record<string, string>>
  /** Marks to set on it, if the engine stores such things as labels. */
  marks: Readonly<Record<'hub' | 'run' | 'epoch' | 'group', string>>
  /** Time by which it must be gone, whatever happens to the hub, in milliseconds since 1970. */
  deadlineMs: number
}

/** A runner of this hub as its engine sees it. */
export interface FoundRunner {
  name: string
  /** `ended` means that its process is over but its remains are still there. */
  state: 'starting' | 'running' | 'ended'
  /** Why it has not started, or how it ended. */
  message?: string
  /** Set if it ended because it ran out of memory. */
  reason?: 'oom'
  /** Set if it ended before it began, and will do so again until a person fixes the cause. */
  permanent?: boolean
}

/**
 * Makes runners in one way. The hub chooses the names and makes at most one call per name at a time. Each call
 * rejects with a `ProvisionError`, after which a repeat is harmless.
 */
export interface Provisioner {
  /** Resolves once the engine has accepted the runner, or if it is there already. */
  provision(need: ProvisionNeed, signal: AbortSignal): Promise<void>
  /** Returns all runners of this hub and nothing else. */
  find(signal: AbortSignal): Promise<FoundRunner[]>
  /** Removes the runner; resolves once it is gone with everything that it started. A missing runner is no error. */
  remove(name: string, signal: AbortSignal): Promise<void>
  /** Names the outside service that it uses; absent if there is none. Throws if its settings do not say. */
  service?(): Promise<{ service: 'docker' | 'kubernetes'; address: string }>
  /** Drops the connections between calls, also after calls in progress. Later calls open their own. */
  close?(): void
}

/** Says why a runner could not be made, found or removed. */
export class ProvisionError extends Error {
  readonly end: ProvisionedEnd
  /** True if a repeat fails until a person fixes the cause. */
  readonly permanent: boolean
  /** True if the engine gave neither a yes nor a no, so that the state of its runners is not known. */
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
    }: {
      end?: ProvisionedEnd
      permanent?: boolean
      unanswered?: boolean
      hint?: string
      cause?: unknown
    } = {},
  ) {
    super(message, { cause })
    this.end = end
    this.permanent = permanent
    this.unanswered = unanswered
    this.hint = hint
  }
}

/** Turns somebody else's text into a sentence. */
export const sentence = (text: string): string => text.trim().replace(/\.?$/, '.')

/** Shows an invalid answer to a person. */
export const shownAnswer = (text: string): string =>
  text.trim() === '' ? 'nothing' : JSON.stringify(text.slice(0, 200))

/** Returns `Message. Hint` of whatever was thrown. */
export function provisionText(error: unknown): string {
  const { message } = error as Error
  const hint = error instanceof ProvisionError ? error.hint : undefined
  return hint === undefined ? message : `${message} ${hint}`
}
