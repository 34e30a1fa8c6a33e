import { ErrandError } from '../../contract/errors.ts'
import { findProgram } from '../../platform/files.ts'
import type { Agent, AgentLaunch, SessionRequest } from '../agent.ts'
import { modelFailureOf } from '../failure.ts'
import { anthropicService, openaiService } from '../model-services.ts'
import type { AcpProfile } from './profile.ts'
import { AcpProtocol } from './protocol.ts'

const profile: AcpProfile = {
  agent: 'acp',
  usage: { counts: 'prompt', cachedInInput: false, thoughtsApart: false },
  model: 'session',
  endsInError,
}

/**
 * Recognises an error such as "API Error: 529 overloaded". A model that describes a program's output may write the
 * same.
 */
function endsInError(message: string, modelWrote: boolean): boolean {
  if (!/^\W{0,3}(?:[\w-]+ ){0,3}error(?: \(?\d{3}\)?)?: *\S/i.test(message)) return false
  return !modelWrote || modelFailureOf(message) !== 'other'
}

/** Runs any command that speaks the Agent Client Protocol on its standard input and output. */
export const acp: Agent = {
  name: 'acp',
  title: 'Any agent that speaks the Agent Client Protocol',
  keys: [],
  // Only the user knows which variables hold the keys.
  services: [anthropicService, openaiService].map((service) => ({ ...service, keys: [] })),
  usage: 'unknown',
  // Each request names the program.
  locate: async () => ({ type: 'found', program: { path: '', version: '' } }),
  launch,
  protocol: (request, port) => new AcpProtocol(profile, request, port),
}

function launch({ command, extra_args, env, cwd }: SessionRequest): AgentLaunch {
  const [name, ...args] = command ?? []
  if (name === undefined) {
    throw new ErrandError('invalid_argument', 'The agent "acp" needs a command.', {
      hint: 'Provide the program and its arguments as a list: command: [my-agent, --acp], or --command my-agent --command --acp.',
    })
  }
  const program = findProgram(name, env.PATH ?? process.env.PATH ?? '', cwd)
  if (program === undefined) {
    throw new ErrandError(
      'invalid_argument',
      `The agent's program "${name}" does not exist or cannot be run.`,
      {
        hint: 'Use its absolute path, or set PATH so that it is found.',
      },
    )
  }
  return { program, args: [...args, ...extra_args], env: {} }
}
