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

/** Method of the notifications that carry an update unchanged, if the Agent Client Protocol has no form for it. */
export const UPDATE = '_errand/update'

const profile: AcpProfile = {
  agent: 'builtin',
  // It reports its usage after each answer of the model.
  usage: { counts: 'prompt', cachedInInput: false, thoughtsApart: false },
  model: 'launch',
  reported: (method, params) => (method === UPDATE ? AgentUpdate.safeParse(params).data : undefined),
}

/**
 * Runs a few tools in a loop with any model of an OpenAI-compatible service, as a separate program from this package.
 */
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
  const settings = { model, ask, asks_reading, max_turns, home, new_session_id, extra_args }
  return { program: process.execPath, args: [path, JSON.stringify(settings)], env: {}, parts: partsOf(path) }
}

/** Returns Node, the program, and the files that both load. */
function partsOf(path: string): string[] {
  const packageFolder = join(import.meta.dirname, '../../..')
  // A build is a single file.
  const code = path.endsWith('.ts')
    ? ['src', 'node_modules', 'package.json'].map((name) => join(packageFolder, name))
    : [path]
  return [process.execPath, ...code]
}

/** Returns the settings and the folder of a session, or why it cannot start. Reads files, never uses the network. */
export function prepare(request: SessionRequest): { settings: Settings; cwd: string } | { wrong: string } {
  const settings = settingsOf(request)
  if ('wrong' in settings) return settings
  if (request.extra_args.length > 0)
    return { wrong: 'The built-in agent accepts no extra_args. Remove them.' }
  const { session_id, home, apart } = request
  // A box may write to the session's home, so its files are read only inside the box.
  if (session_id !== undefined && !apart && sessionIn(home) !== session_id)
    return { wrong: `The built-in agent has no session ${session_id} in ${home}. Start a new one.` }
  try {
    const cwd = realpathSync(request.cwd)
    if (statSync(cwd).isDirectory()) return { settings, cwd }
  } catch {
    // Reported below.
  }
  return {
    wrong: `The working folder ${request.cwd} does not exist or is not a folder. Use one that exists.`,
  }
}
