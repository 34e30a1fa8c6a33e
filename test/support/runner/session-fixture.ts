import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { builtinActionRegistry } from '../../../src/actions/registry.ts'
import { acp } from '../../../src/agents/acp/acp.ts'
import { builtin } from '../../../src/agents/builtin/builtin.ts'
import type { AgentUpdate, AgentUpdateOf } from '../../../src/contract/agent.ts'
import type { AttemptSpec } from '../../../src/contract/attempt.ts'
import type { AttemptsOptions } from '../../../src/runner/open-attempts.ts'
import type { Attempts, HeldAttempt } from '../../../src/runner/ports.ts'
import type { AgentsOptions } from '../../../src/runner/sessions/agent-services.ts'
import { type AttemptFixture, attemptSpec, place, until } from './attempt-fixture.ts'

/** Sessions with a stand-in for an agent, in folders that are removed at the end. */

const STAND_IN = join(import.meta.dirname, '../acp-agent-stand-in.ts')

export interface SessionPlace extends Disposable {
  path: string
  /** The file with the stand-in's notes. */
  log: string
  agents: AgentsOptions
  open(options?: Partial<AttemptsOptions>): Attempts
  /** Returns a step that gives the stand-in these commands, one after another. */
  spec(prompt: string, args?: object, more?: Partial<AttemptSpec>): AttemptSpec
}

export const sessionAgents = (path: string): AgentsOptions => ({
  known: [acp, builtin],
  folder: join(path, 'agents'),
  sessionsDir: join(path, 'sessions'),
  allowedDirs: 'any',
})

export function sessionPlace(): SessionPlace {
  const here: AttemptFixture = place()
  const log = join(here.path, 'log')
  const agents = sessionAgents(here.path)
  return {
    path: here.path,
    log,
    agents,
    open: (options) => here.open({ registry: builtinActionRegistry, agents, ...options }),
    spec: (prompt, args = {}, more = {}) =>
      attemptSpec(
        'agent.run',
        { prompt, agent: 'acp', command: [process.execPath, STAND_IN], ...args },
        { ...more, env: { STAND_IN_LOG: log, ...more.env } },
      ),
    [Symbol.dispose]: () => here[Symbol.dispose](),
  }
}

export function updatesOf(held: HeldAttempt): AgentUpdate[] {
  return held.reports.flatMap((report) => (report.type === 'update' ? [report.update] : []))
}

export const kindsOf = (held: HeldAttempt) => updatesOf(held).map((update) => update.kind)

export async function update<K extends AgentUpdate['kind']>(
  held: HeldAttempt,
  kind: K,
  fits: (update: AgentUpdateOf<K>) => boolean = () => true,
): Promise<AgentUpdateOf<K>> {
  const found = () =>
    updatesOf(held).find(
      (each): each is AgentUpdateOf<K> => each.kind === kind && fits(each as AgentUpdateOf<K>),
    )
  await until(() => found() !== undefined || held.ended, `an update of kind ${kind}`)
  const update = found()
  if (update) return update
  throw new Error(`no update of kind ${kind}: ${JSON.stringify(held.reports).slice(-3000)}`)
}

export function linesOf(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n').filter(Boolean)
  } catch {
    return []
  }
}
