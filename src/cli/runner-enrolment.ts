import { hash } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandClient } from '../client/client.ts'
import { ErrandError } from '../contract/errors.ts'
import { writeFileAtomic } from '../platform/atomic-file.ts'
import { Backoff } from '../platform/backoff.ts'

/** What a machine was given when it became a runner. */
export interface Enrolment {
  hub_url: string
  runner_id: string
  token: string
  /** SHA-256 of the enrolment token: another one in the environment means that the machine is to enrol anew. */
  enrolled_with: string
}

interface Enrolling {
  url: string
  /** The enrolment token. */
  token: string
  runnerId: string
  /** The runner's own; what it is given is kept below it. */
  workspace: string
}

export const enrolmentFile = (workspace: string): string => join(workspace, '.errand', 'runner.json')

/** What is kept for the runner of that workspace. Throws `invalid_argument` for a file that is none of ours. */
export function keptEnrolment(workspace: string): Enrolment | undefined {
  const file = enrolmentFile(workspace)
  try {
    const { hub_url, runner_id, token, enrolled_with } = JSON.parse(readFileSync(file, 'utf8')) as Enrolment
    for (const text of [hub_url, runner_id, token])
      if (typeof text !== 'string') throw new Error('it is not whole')
    return { hub_url, runner_id, token, enrolled_with }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new ErrandError('invalid_argument', `${file} cannot be read: ${(cause as Error).message}.`, {
      hint: 'Remove it and enrol this machine anew: errand runner enroll',
      cause,
    })
  }
}

/** Whether that token is the one by which the machine has what it has. */
export const enrolledWith = (kept: Enrolment, token: string): boolean => kept.enrolled_with === sha256(token)

/** Makes this machine a runner of the hub: its token is kept, readable by this user only. */
export async function enrol({ url, token, runnerId, workspace }: Enrolling): Promise<Enrolment> {
  const file = enrolmentFile(workspace)
  // Before the token is used up.
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const client = new ErrandClient({ url })
  const given = await client.runners.enroll({ token, runner_id: runnerId })
  const kept = {
    hub_url: client.url,
    runner_id: given.runner_id,
    token: given.token,
    enrolled_with: sha256(token),
  }
  writeFileAtomic(file, `${JSON.stringify(kept, null, 2)}\n`, { mode: 0o600 })
  return kept
}

/** As `enrol`, however long the hub is not there: both may have been started together. */
export async function enrolPatiently(
  enrolling: Enrolling,
  { log, signal }: { log(message: string): void; signal: AbortSignal },
): Promise<Enrolment> {
  const backoff = new Backoff({ firstMs: 200, maxMs: 10_000 })
  for (let told = false; ; told = true)
    try {
      return await enrol(enrolling)
    } catch (error) {
      const later = error instanceof ErrandError && ['unavailable', 'rate_limited'].includes(error.code)
      if (!later || signal.aborted) throw error
      if (!told) log(`Not enrolled yet: ${error.message} Trying again.`)
      await sleep(backoff.next(), undefined, { signal }).catch(() => {})
      if (signal.aborted) throw error
    }
}

const sha256 = (text: string): string => hash('sha256', text, 'hex')
