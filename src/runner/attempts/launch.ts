import { resolve } from 'node:path'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { passedOnVariables } from '../../contract/names.ts'
import type { ProcessPlan } from '../ports.ts'
import type { Launch } from '../sandbox/launch.ts'

/** Returns the command of a plan, in `folder` unless the plan names one. `env` is its whole environment. */
export const launchOf = ({ argv, cwd }: ProcessPlan, folder: string, env: NodeJS.ProcessEnv): Launch => ({
  argv,
  cwd: cwd === undefined ? folder : resolve(folder, cwd),
  env,
})

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Name of the variable that distinguishes an attempt's processes from all others. */
const MARK = 'ERRAND_ATTEMPT_MARK'
export const markOf = (key: string): string => `${MARK}=${key}`

/** Name of the variable that tells whose attempt a process belongs to: the folder of its runner. */
const RUNNER_MARK = 'ERRAND_RUNNER_MARK'

/** Marks a runner's environment, so that the processes of its attempts can be found when runner and folder are gone. */
export const markedEnvironment = (env: NodeJS.ProcessEnv, folder: string): NodeJS.ProcessEnv => ({
  ...env,
  [RUNNER_MARK]: folder,
})

/** Parses the marks in the environment of a process, as `environmentOf` returns it. */
export function marksOf(environment: string): { key?: string; folder?: string; attemptId?: string } {
  const value = (name: string) => new RegExp(`\\0${name}=([^\\0]*)`).exec(environment)?.[1]
  return { key: value(MARK), folder: value(RUNNER_MARK), attemptId: value('ERRAND_ATTEMPT_ID') }
}

/**
 * Returns the variables that a command on a runner gets from the machine's own environment; `more` names additional
 * ones.
 */
export function passedOn(env: NodeJS.ProcessEnv, more: readonly string[] = []): Record<string, string> {
  const passed: Record<string, string> = { PATH: DEFAULT_PATH }
  for (const name of [...passedOnVariables, RUNNER_MARK, ...more]) {
    const value = env[name]
    if (value !== undefined) passed[name] = value
  }
  return passed
}

/** Builds a command's whole environment. `key` is unique among all attempts of this machine. */
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
