import assert from 'node:assert/strict'
import test from 'node:test'
import type { AgentUpdateOf } from '../../contract/agent.ts'
import { SessionGrants } from './session-grants.ts'

const question = (change: Partial<AgentUpdateOf<'permission'>>): AgentUpdateOf<'permission'> => ({
  ...{ kind: 'permission', request_id: 'q', title: 'Run it', tool_kind: 'execute' },
  ...change,
})
const run = (args: object, more: Partial<AgentUpdateOf<'permission'>> = {}) =>
  question({ input: JSON.stringify(args), ...more })

test('the same command in the same folder is allowed again, and nothing else', () => {
  const grants = new SessionGrants()
  grants.add(run({ command: 'npm test', description: 'tests' }, { paths: ['/w'] }), 'ann')
  assert.equal(grants.allows(run({ description: 'again', command: 'npm test' }, { paths: ['/w'] })), 'ann')
  for (const other of [
    run({ command: 'npm test; rm -rf ~' }, { paths: ['/w'] }),
    run({ command: 'npm test' }, { paths: ['/'] }),
    run({ command: 'npm test', unsafe: true }, { paths: ['/w'] }),
    run({ command: 'npm test' }, { paths: ['/w'], tool_kind: 'fetch' }),
    question({ title: 'Run it', paths: ['/w'] }),
  ])
    assert.equal(grants.allows(other), undefined, JSON.stringify(other))
})

test('a change of files is allowed again for these files alone', () => {
  const grants = new SessionGrants()
  const edit = (...paths: string[]) => question({ tool_kind: 'edit', paths })
  grants.add(edit('/w/a', '/w/b'), undefined)
  assert.equal(grants.allows(edit('/w/b')), 'a person')
  assert.equal(grants.allows(edit('/w/b', '/w/c')), undefined)
  assert.equal(grants.allows({ ...edit('/w/a'), tool_kind: 'delete' }), undefined)
  assert.equal(grants.allows(edit()), undefined)
})

test('what was cut off is asked each time', () => {
  const grants = new SessionGrants()
  const cut = question({ input: '{"command":"echo long\n… (20000 bytes in all)' })
  grants.add(cut, 'ann')
  assert.equal(grants.allows(cut), undefined)
})
