import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { SessionRequest } from '../../src/agents/agent.ts'
import { claudeCode } from '../../src/agents/claude-code/claude-code.ts'
import { codex } from '../../src/agents/codex/codex.ts'
import { AgentUpdate, type AgentUpdateOf } from '../../src/contract/agent.ts'
import { type Replayed, replayRecorded } from '../support/recorded-conversation.ts'

const subjects = [
  { agent: codex, file: 'codex.lines' },
  { agent: claudeCode, file: 'claude-code.lines' },
]

const request: SessionRequest = {
  cwd: '/srv/project',
  home: '/srv/home',
  extra_args: [],
  ask: 'ask',
  new_session_id: 'd5c7b4fe-6e9a-4f0c-9a3e-3f2f0d1c5a77',
  env: {},
}

function of<K extends AgentUpdate['kind']>({ updates }: Replayed, kind: K): AgentUpdateOf<K>[] {
  return updates.filter((each): each is AgentUpdateOf<K> => each.kind === kind)
}

for (const { agent, file } of subjects) {
  // The recording has a plan, an allowed command that fails, a denied write, a canceled turn, and a turn refused with
  // 401.
  describe(`a recorded conversation with ${agent.name}`, () => {
    const path = join(import.meta.dirname, 'recorded', file)
    const replayed = replayRecorded(agent, request, path)

    it("shows what happened in three turns, in the contract's form", () => {
      for (const update of replayed.updates) AgentUpdate.parse(update)
      const ends = of(replayed, 'turn_ended').map(({ stop_reason, failure }) => [stop_reason, failure])
      assert.deepEqual(ends, [
        ['end_turn', undefined],
        ['canceled', undefined],
        ['error', 'auth'],
      ])
      assert.equal(replayed.readyCount, 4)
      assert.equal(replayed.failure, undefined)
      assert.equal(
        of(replayed, 'message')
          .map(({ text }) => text)
          .join('|'),
        'First a plan|.|Both done.|Half a',
      )
      assert.deepEqual(
        of(replayed, 'thought').map(({ text }) => text),
        ['A thought.'],
      )
      assert.ok(of(replayed, 'retry').every(({ failure }) => failure === 'auth'))
      assert.deepEqual(of(replayed, 'plan').at(-1)?.entries, [
        { text: 'Look', status: 'completed' },
        { text: 'Write', status: 'in_progress' },
      ])
    })

    it('names the session and the version of the program', () => {
      const session = of(replayed, 'session').at(-1)
      assert.equal(session?.origin, 'new')
      assert.equal(session?.version, agent.install?.version)
      assert.match(session?.session_id ?? '', /^[0-9a-f-]{36}$/)
    })

    it('asks about the command and the write, and reports how they ended', () => {
      const [command, write] = of(replayed, 'permission')
      assert.equal(command?.title, 'cat old.txt; false')
      assert.equal(command?.tool_kind, 'execute')
      assert.equal(write?.tool_kind, 'edit')
      assert.deepEqual(write?.paths, ['/srv/project/new.txt'])
      assert.match(write?.input ?? '', /new\.txt/)
      const last = (id: string | undefined) => of(replayed, 'tool').findLast(({ tool_id }) => tool_id === id)
      assert.equal(last(command?.tool_id)?.status, 'failed')
      assert.match(last(command?.tool_id)?.output ?? '', /one\ntwo/)
      assert.equal(last(write?.tool_id)?.status, 'denied')
    })

    it('counts tokens per turn and over the session, with cached ones counted separately', () => {
      const first = replayed.updates.findIndex(({ kind }) => kind === 'turn_ended')
      const usage = replayed.updates.slice(0, first).findLast((each) => each.kind === 'usage')
      const { cost_usd, ...tokens } = usage?.kind === 'usage' ? usage.turn : { cost_usd: -1 }
      assert.deepEqual(tokens, { input_tokens: 420, cached_input_tokens: 80, output_tokens: 39 })
      assert.ok(cost_usd === undefined || cost_usd > 0)
      const session = of(replayed, 'usage').at(-1)?.session
      assert.ok(session !== undefined && session.input_tokens >= 420 && session.output_tokens >= 39)
    })

    it('sends the same lines and updates when replayed again', () => {
      assert.deepEqual(replayRecorded(agent, request, path), replayed)
    })
  })
}
