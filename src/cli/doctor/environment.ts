import { ErrandError } from '../../contract/errors.ts'
import { botEnvironment, givenTokens, logEnvironment, runnerEnvironment } from '../../dialects/environment.ts'
import { allowedHosts, metricsOpen, outputLimits, readersPerUser } from '../access-options.ts'
import { leaseOf } from '../lease-options.ts'
import { retentionMs } from '../retention-option.ts'
import { type Check, type Finding, ok, problem } from './check.ts'

/** Each reads its own part of the environment. */
const readers: readonly ((env: NodeJS.ProcessEnv) => unknown)[] = [
  logEnvironment,
  botEnvironment,
  givenTokens,
  (env) => retentionMs(undefined, env),
  (env) => leaseOf({}, env),
  metricsOpen,
  allowedHosts,
  readersPerUser,
  outputLimits,
  runnerEnvironment,
]

export const environment: Check = {
  name: 'environment',
  async run({ env }) {
    const found: Finding[] = []
    for (const read of readers)
      try {
        read(env)
      } catch (error) {
        if (!(error instanceof ErrandError)) throw error
        found.push(problem(error.message, error.hint ?? 'See docs/cli.md.'))
      }
    return found.length > 0 ? found : [ok('The variables of hub and runner can be understood.')]
  },
}
