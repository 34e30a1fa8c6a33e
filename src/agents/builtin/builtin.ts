import { realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { AgentUpdate } from '../../contract/agent.ts'
import { ErrandError } from '../../contract/errors.ts'
import { ownProgram } from '../../platform/own-program.ts'
import type { AcpProfile } from '../acp/profile.ts'
import { AcpProtocol } from '../acp/protocol.ts'
import type { Agent, AgentLaunch, Program, SessionRequest } from '../agent.ts'
import { openaiService } from '../model-services.ts'
import { sessionIn } from './conversation.ts'
import { ownSettings, type Settings, settingsOf } from './settings.ts'

/**
 * Method of the notifications that carry, as it is, an update that the Agent Client Protocol has no word for.
 */
export const UPDATE = '_errand/update'

const profile: AcpProfile = {
  agent: 'builtin',
  // It tells its usage after each answer of the model.
  usage: { counts: 'prompt', cachedInInput: false, thoughtsApart: false },
  model: 'launch',
  told: (method, params) => (method === UPDATE ? AgentUpdate.safeParse(params).data : undefined),
}

/** A loop of a few tools on any model behind an OpenAI-compatible service: a program like the others, from this package. */
export const builtin: Agent = {
  name: 'builtin',
  title: 'Built-in agent',
  keys: ['OPENAI_API_KEY'],
  services: [{ ...openaiService, keyless: true }],
  settings: ['OPENAI_BASE_URL', ...ownSettings],
  usage: 'each_call',
  locate: async () => ({
    type: 'found',
    program: { path: ownProgram(import.meta.dirname, 'program.ts', 'builtin-agent.cjs'), version: '' },
  }),
  launch,
  modelAt: (url, key) => ({ env: { OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: key }, model: 'ask-check' }),
  protocol: (request, port) => new AcpProtocol(profile, request, port),
}

function launch(request: SessionRequest, { path }: Program): AgentLaunch {
  const prepared = prepare(request)
  if ('wrong' in prepared) throw new ErrandError('invalid_argument', prepared.wrong)
  const { model, ask, asks_reading, max_turns, home, new_session_id, extra_args } = request
  const asked = { model, ask, asks_reading, max_turns, home, new_session_id, extra_args }
  return { program: process.execPath, args: [path, JSON.stringify(asked)], env: {}, parts: partsOf(path) }
}

/** Node, the program, and what both load. */
function partsOf(path: string): string[] {
  const packageFolder = join(import.meta.dirname, '../../..')
  // As a build it stands in one file.
  const code = path.endsWith('.ts')
    ? ['src', 'node_modules', 'package.json'].map((name) => join(packageFolder, name))
    : [path]
  return [process.execPath, ...code]
}

/** The settings and folder of a session, or why there can be none. Looks at files, never at the network. */
export function prepare(request: SessionRequest): { settings: Settings; cwd: string } | { wrong: string } {
  const settings = settingsOf(request)
  if ('wrong' in settings) return settings
  if (request.extra_args.length > 0) return { wrong: 'The built-in agent takes no extra_args. Remove them.' }
  const { session_id, home, apart } = request
  // What stands in a home that a box may write to is read in the box.
  if (session_id !== undefined && !apart && sessionIn(home) !== session_id)
    return { wrong: `The built-in agent has no session ${session_id} in ${home}. Begin a new one.` }
  try {
    const cwd = realpathSync(request.cwd)
    if (statSync(cwd).isDirectory()) return { settings, cwd }
  } catch {
    // Told below.
  }
  return { wrong: `The working folder ${request.cwd} is not there. Name one that is.` }
}
