import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Agent, AgentPlaces, SessionRequest } from '../../agents/agent.ts'
import { checkedOnce } from '../../agents/ask-check/ask-check.ts'
import { installCommand } from '../../agents/install/native-binary.ts'
import { agentRegistry } from '../../agents/registry.ts'
import { setting } from '../../config/read-setting.ts'
import type { AgentState } from '../../contract/agent.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { messageWithHint } from '../../contract/errors.ts'
import { ChangeWatch } from '../../platform/time.ts'
import type { Boxes } from '../sandbox/boxes.ts'
import type { AgentServices, AgentsOptions } from './agent-services.ts'

/** Sets up all agents that Errand knows, on this machine. `stateDir` holds their sessions. */
export function machineAgents(options: {
  folder: string
  stateDir: string
  allowedDirs: AgentsOptions['allowedDirs']
}): AgentsOptions {
  const { folder, stateDir, allowedDirs } = options
  return {
    known: agentRegistry,
    folder,
    sessionsDir: join(stateDir, 'sessions'),
    allowedDirs,
    checkQuestions: checkedOnce(join(stateDir, 'ask-checks.json')),
    signIn: setting(process.env, 'ERRAND_SANDBOX_LOGIN'),
    models: setting(process.env, 'ERRAND_MODELS'),
  }
}

/**
 * Returns the state of each agent on this machine: whether it can be used now, and how its sessions are isolated. It
 * starts programs only to ask for a version.
 */
export async function agentStates(
  services: AgentServices,
  env: NodeJS.ProcessEnv,
  boxes: AgentBoxes | undefined,
): Promise<AgentState[]> {
  const { known, folder } = services.options
  const isolation = isolationOf(boxes)
  return await Promise.all(
    known.map(async (agent) => {
      const apart = isBoxed(boxes) && services.signIn(agent).length === 0
      const state = await stateOf(agent, services, { folder, env }, apart)
      return { ...state, ...isolation(state) }
    }),
  )
}

/** The part of `Boxes` that says what an agent gets. */
export type AgentBoxes = Pick<Boxes, 'facts' | 'without'>

/**
 * Returns the isolation of a session that requests nothing; if such a session is refused, the agent is unusable here.
 */
function isolationOf(boxes: AgentBoxes | undefined): (state: AgentState) => Partial<AgentState> {
  if (boxes === undefined) return () => ({})
  const spec = { requires: {} } as AttemptSpec
  try {
    const facts = boxes.facts(spec, 'agent')
    if (facts !== undefined) return () => ({ isolation: facts.isolation })
    const isolation_why = boxes.without(spec) ?? 'ERRAND_ISOLATION is none.'
    return () => ({ isolation: 'none', isolation_why })
  } catch (error) {
    const why = messageWithHint(error)
    return ({ usable }) => ({ isolation: 'none', isolation_why: why, ...(usable && { usable: false, why }) })
  }
}

/** Reports whether a session that requests nothing runs in a box. */
function isBoxed(boxes: AgentBoxes | undefined): boolean {
  try {
    return boxes?.facts({ requires: {} } as AttemptSpec, 'agent') !== undefined
  } catch {
    return false
  }
}

/** Returns the state of one agent; `apart` means in a box, without the user's home. */
async function stateOf(
  agent: Agent,
  services: AgentServices,
  places: AgentPlaces,
  apart: boolean,
): Promise<AgentState> {
  const { name, title } = agent
  const located = await agent.locate(places)
  const install = agent.install && installCommand(name)
  if (located.type === 'missing')
    return { name, title, installed: false, usable: false, why: 'it is not installed', install }
  if (located.type === 'broken')
    return { name, title, installed: true, usable: false, why: located.why, install }
  const { program } = located
  // Its program comes with each request.
  if (program.path === '') return { name, title, installed: true, usable: true }
  const head = { name, title, installed: true, version: program.version || undefined }
  try {
    agent.launch(trialRequest(agent, services, apart), program)
    return { ...head, usable: true }
  } catch (error) {
    return { ...head, usable: false, why: messageWithHint(error) }
  }
}

/** Builds the request of a step without special wishes. */
function trialRequest(agent: Agent, services: AgentServices, apart: boolean): SessionRequest {
  return {
    cwd: tmpdir(),
    extra_args: [],
    ask: 'allow',
    new_session_id: '00000000-0000-4000-8000-000000000000',
    ...(apart && { apart }),
    env: services.environment(agent, { env: {} }, { apart }),
    home: tmpdir(),
  }
}

const CHECK_INTERVAL_MS = 120_000

/** Watches which agents this machine has, and reports changes. */
export const watchAgents = (
  services: AgentServices,
  boxes: AgentBoxes,
  report: (agents: AgentState[]) => void,
): ChangeWatch<AgentState[]> =>
  new ChangeWatch({
    everyMs: CHECK_INTERVAL_MS,
    look: () => agentStates(services, process.env, boxes),
    report,
  })
