import { hash } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { homedir, hostname } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandClient } from '../../../client/client.ts'
import type { RunnerEnvironment } from '../../../config/environment.ts'
import { readSetting } from '../../../config/read-setting.ts'
import { ErrandError } from '../../../contract/errors.ts'
import { writeFileAtomic } from '../../../platform/files.ts'
import { Backoff } from '../../../platform/time.ts'
import { UsageError } from '../../command.ts'

/** Holds the address, id and token that a machine got when it was enrolled as a runner. */
interface Enrolment {
  hub_url: string
  runner_id: string
  token: string
  /** SHA-256 of the enrolment token. A different token in the environment makes the machine enrol again. */
  enrolled_with: string
}

interface Enrolling {
  url: string
  /** The enrolment token. */
  token: string
  runnerId: string
  /** Workspace of the runner; the enrolment is stored in it. */
  workspace: string
}

export const enrolmentFile = (workspace: string): string => join(workspace, '.errand', 'runner.json')

/**
 * Returns the enrolment that is stored in a workspace, if there is one. Throws `invalid_argument` for a file that
 * does not hold one.
 */
export function storedEnrolment(workspace: string): Enrolment | undefined {
  const file = enrolmentFile(workspace)
  try {
    const { hub_url, runner_id, token, enrolled_with } = JSON.parse(readFileSync(file, 'utf8')) as Enrolment
    for (const text of [hub_url, runner_id, token])
      if (typeof text !== 'string') throw new Error('it is incomplete')
    return { hub_url, runner_id, token, enrolled_with }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new ErrandError('invalid_argument', `${file} cannot be read: ${(cause as Error).message}.`, {
      hint: 'Remove it and enrol this machine again: errand runner enroll',
      cause,
    })
  }
}

/** Reports whether the machine was enrolled with this token. */
const enrolledWith = (enrolment: Enrolment, token: string): boolean =>
  enrolment.enrolled_with === sha256(token)

/** Enrols this machine as a runner of the hub, and stores its token in a file that only this user can read. */
export async function enrol({ url, token, runnerId, workspace }: Enrolling): Promise<Enrolment> {
  const file = enrolmentFile(workspace)
  // This comes before the token is used up.
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const client = new ErrandClient({ url })
  const enrolled = await client.runners.enroll({ token, runner_id: runnerId })
  const stored = {
    hub_url: client.url,
    runner_id: enrolled.runner_id,
    token: enrolled.token,
    enrolled_with: sha256(token),
  }
  writeFileAtomic(file, `${JSON.stringify(stored, null, 2)}\n`, { mode: 0o600 })
  return stored
}

/** Works like `enrol`, but waits for the hub without a limit: both may have been started together. */
async function enrolPatiently(
  enrolling: Enrolling,
  { log, signal }: { log(message: string): void; signal: AbortSignal },
): Promise<Enrolment> {
  const backoff = new Backoff({ firstMs: 200, maxMs: 10_000 })
  for (let isReported = false; ; isReported = true)
    try {
      return await enrol(enrolling)
    } catch (error) {
      const later = error instanceof ErrandError && ['unavailable', 'rate_limited'].includes(error.code)
      if (!later || signal.aborted) throw error
      if (!isReported) log(`Not enrolled yet: ${error.message} Trying again.`)
      await sleep(backoff.next(), undefined, { signal }).catch(() => {})
      if (signal.aborted) throw error
    }
}

const sha256 = (text: string): string => hash('sha256', text, 'hex')

export const workspaceOption = {
  workspace: {
    type: 'string',
    value: 'DIR',
    help: 'Folder for the work of the runner (default: WORKSPACE_DIR, ~/.errand/workspace)',
  },
} as const

/** Returns the folder of a runner's attempts, workspaces and enrolment. */
export const runnerWorkspace = (
  token: string | undefined,
  { workspaceDir }: { workspaceDir?: string },
): string => resolve(token ?? workspaceDir ?? join(homedir(), '.errand', 'workspace'))

/** Returns the runner's hub, token and id: as given, else as enrolled. Enrols the machine if necessary. */
export async function identityOf(
  options: { url?: string; token?: string; id?: string },
  found: RunnerEnvironment,
  workspace: string,
  retry: Parameters<typeof enrolPatiently>[1],
): Promise<{ url: string; token: string; id: string }> {
  let stored: Enrolment | undefined = storedEnrolment(workspace)
  const hubUrl = options.url && readSetting('ERRAND_HUB_URL', { name: '--url', value: options.url })
  const url = hubUrl ?? found.hubUrl ?? stored?.hub_url
  if (url === undefined)
    throw new UsageError('a runner needs the address of its hub', 'set it with --url or ERRAND_HUB_URL')
  const enrolToken = options.token ?? found.token
  const once = found.enrollToken
  if (enrolToken === undefined && once !== undefined && !(stored && enrolledWith(stored, once))) {
    const runnerId = options.id ?? found.runnerId ?? stored?.runner_id ?? hostname()
    stored = await enrolPatiently({ url, token: once, runnerId, workspace }, retry)
  }
  const token = enrolToken ?? stored?.token
  if (token === undefined)
    throw new UsageError(
      'this machine is not enrolled',
      'create a token with: errand runners enroll-token, then pass it to: errand runner enroll',
    )
  return { url, token, id: options.id ?? found.runnerId ?? stored?.runner_id ?? hostname() }
}
