import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Phase, type SessionMove, SessionState, sessionMoves, type Work } from './session-state.ts'

const after = (moves: readonly SessionMove[]) => {
  const state = new SessionState()
  const made = moves.filter((move) => state.move(move))
  return { agent: state.agent, work: state.work, made }
}

test('a session goes through its turns, verifies the work, and ends once', () => {
  const turn: SessionMove[] = ['launched', 'ready', 'prompted', 'turn_ended']
  assert.deepEqual(after(turn), { agent: 'ended', work: 'open', made: turn })
  const verified: SessionMove[] = [...turn, 'verify', 'ready', 'checked', 'prompted']
  assert.deepEqual(after(verified), { agent: 'busy', work: 'open', made: verified })
  const over: SessionMove[] = [...verified, 'process_over', 'settled']
  assert.deepEqual(after([...over, 'settled', 'verify', 'checked']), {
    agent: 'down',
    work: 'settled',
    made: over,
  })
})

test('no move leads out of a stop', () => {
  for (const move of Object.keys(sessionMoves) as SessionMove[]) {
    const state = new SessionState()
    state.move('stopped')
    state.move(move)
    assert.equal(state.work, 'stopped', move)
    assert.equal(state.over && state.resting, true)
  }
})

test('each state can be reached, and after the process ends the agent is only down', () => {
  const reached = new Set<Phase | Work>(['down', 'open'])
  for (const { agent = {}, work = {} } of Object.values(sessionMoves) as { agent?: object; work?: object }[])
    for (const to of [...Object.values(agent), ...Object.values(work)]) reached.add(to)
  assert.deepEqual([...reached].sort(), [
    ...['busy', 'down', 'ended', 'open', 'ready', 'settled', 'starting', 'stopped', 'verifying'],
  ])
  assert.deepEqual(new Set(Object.values(sessionMoves.process_over.agent)), new Set(['down']))
})
