import { resolve } from 'node:path'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { findProgram, isFolder } from '../../platform/files.ts'
import type { ProcessPlan } from '../ports.ts'

export interface Launch {
  argv: readonly string[]
  cwd: string
  env: NodeJS.ProcessEnv
}

/** The command of a plan, in this folder unless the plan names one. `env`: its whole environment. */
export const launchOf = ({ argv, cwd }: ProcessPlan, folder: string, env: NodeJS.ProcessEnv): Launch => ({
  argv,
  cwd: cwd === undefined ? folder : resolve(folder, cwd),
  env,
})

/** The program's file. Throws where the program or the folder is not there, naming it. */
export function checkLaunch({ argv, cwd, env }: Launch): string {
  if (!isFolder(cwd)) throw new ErrandError('invalid_argument', `The working folder ${cwd} does not exist.`)
  const program = findProgram(argv[0]!, env.PATH ?? '', cwd)
  if (program === undefined)
    throw new ErrandError(
      'invalid_argument',
      argv[0]!.includes('/')
        ? `The program ${argv[0]} does not exist or may not be run.`
        : `The program "${argv[0]}" is not installed: it is in none of the folders of PATH (${env.PATH}).`,
    )
  return program
}

/** Why a process could not be started, in words that name what is at fault. */
export function startFailure(error: unknown, launch: Launch): string {
  if (error instanceof ErrandError) return error.message
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'E2BIG') return tooBig(launch)
  if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') {
    try {
      checkLaunch(launch)
    } catch (found) {
      return (found as Error).message
    }
  }
  if (code === 'EAGAIN')
    return 'This machine has no room for another process (EAGAIN): its limit of processes is reached.'
  return `${launch.argv[0]} could not be started: ${message}.`
}

function tooBig({ argv, env }: Launch): string {
  const sizes = Object.entries(env).map(([name, value = '']) => ({ name, bytes: Buffer.byteLength(value) }))
  const largest = sizes.reduce((a, b) => (b.bytes > a.bytes ? b : a), { name: '', bytes: 0 })
  const bytes = [...sizes.map((each) => each.bytes), ...argv.map((text) => Buffer.byteLength(text))].reduce(
    (a, b) => a + b,
    0,
  )
  return (
    `The variables are too large to start a process with (${bytes} bytes in all); the largest is ${largest.name} ` +
    `with ${largest.bytes} bytes. Write it to a file and hand over its path.`
  )
}

/** All that a command on a runner gets of the runner's own environment: never its token or an API key. */
const PASSED_ON = ['PATH', 'HOME', 'USER', 'LANG', 'TZ', 'TMPDIR', 'SHELL'] as const

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Name of the variable that tells an attempt's processes from all others. */
const MARK = 'ERRAND_ATTEMPT_MARK'
export const markOf = (key: string): string => `${MARK}=${key}`

/**
 * The variables that a command on a runner gets of the machine's own environment; `more` names those that it
 * gets beyond the list.
 */
export function passedOn(env: NodeJS.ProcessEnv, more: readonly string[] = []): Record<string, string> {
  const passed: Record<string, string> = { PATH: DEFAULT_PATH }
  for (const name of [...PASSED_ON, ...more]) {
    const value = env[name]
    if (value !== undefined) passed[name] = value
  }
  return passed
}

/** A command's whole environment. `key` is unique among all attempts of this machine. */
export function processEnvironment(
  base: Readonly<Record<string, string | undefined>>,
  own: Readonly<Record<string, string>>,
  spec: AttemptSpec,
  key: string,
): NodeJS.ProcessEnv {
  return {
    ...base,
    ...own,
    ERRAND_RUN_ID: spec.run_id,
    ERRAND_ATTEMPT_ID: spec.attempt_id,
    [MARK]: key,
    ERRAND_STEP: spec.step,
    ERRAND_HOST: spec.host,
    ERRAND_TRY: String(spec.try),
    ERRAND_WORKFLOW: spec.workflow_name,
  }
}
