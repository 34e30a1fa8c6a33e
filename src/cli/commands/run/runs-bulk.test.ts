import assert from 'node:assert/strict'
import test from 'node:test'
import { filterOfWords } from './runs-bulk.ts'

test('words make a filter, and a word that is none of them is refused', () => {
  assert.deepEqual(
    filterOfWords('status:failed,canceled input.region:eu input.A:b kind:agent user:ann night db'),
    {
      status: 'failed,canceled',
      blueprint: 'agent',
      owner: 'ann',
      input: ['region=eu', 'A=b'],
      text: 'night db',
    },
  )
  assert.deepEqual(filterOfWords(' since:2026-01-31T00:00:00Z needs:me workflow:a:b'), {
    created_after: '2026-01-31T00:00:00.000Z',
    needs: 'me',
    workflow_name: 'a:b',
  })
  assert.throws(() => filterOfWords('staus:failed'), /has the word "staus:failed"/)
})
