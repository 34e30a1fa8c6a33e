import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { RunEvent } from './events.ts'
import { Reason } from './status.ts'

test('docs/events.md mentions every event and every reason, and no others', () => {
  const docs = readFileSync(new URL('../../docs/events.md', import.meta.url), 'utf8')
  const [events = '', reasons = ''] = docs.split('## Reasons')
  const named = (text: string) =>
    [...text.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell]) =>
      [...cell!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!),
    )
  assert.deepEqual(named(events).sort(), RunEvent.options.map((option) => option.shape.type.value).sort())
  assert.deepEqual(named(reasons).sort(), [...Reason.options].sort())
})
