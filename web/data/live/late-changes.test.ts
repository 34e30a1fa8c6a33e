import assert from 'node:assert/strict'
import { test } from 'node:test'
import { QueryClient } from '@tanstack/react-query'
import { LateChanges } from './late-changes.ts'

/** Returns a client, a list that answers when told to, and the rows that were applied again. */
function reading() {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } })
  const applied: string[] = []
  const late = new LateChanges(client, ['runs', 'open-runs'])
  const take = (id: string, row: string) => late.take(id, () => applied.push(row))
  const read = (list: string) => {
    const answer = Promise.withResolvers<string[]>()
    const done = client.fetchQuery({ queryKey: [list], queryFn: () => answer.promise })
    return { answer: answer.resolve, fail: answer.reject, done }
  }
  return { client, late, take, applied, read }
}

test('a change that arrives during a read of its list is applied again afterwards, in its last version', async () => {
  const { take, applied, read } = reading()
  const list = read('runs')
  take('a', 'a running')
  take('b', 'b queued')
  take('a', 'a failed')
  assert.deepEqual(applied.splice(0), ['a running', 'b queued', 'a failed'])
  list.answer([])
  await list.done
  assert.deepEqual(applied.splice(0), ['a failed', 'b queued'])
  const again = read('runs')
  again.answer([])
  await again.done
  assert.deepEqual(applied, [], 'the second read started after the change')
})

test('a change counts for each list that is being read at that time', async () => {
  const { take, applied, read } = reading()
  const [runs, open] = [read('runs'), read('open-runs')]
  take('a', 'a running')
  runs.answer([])
  await runs.done
  open.answer([])
  await open.done
  assert.deepEqual(applied, ['a running', 'a running', 'a running'])
})

test('a change while no list or another list is read is applied once', async () => {
  const { client, take, applied, read } = reading()
  take('a', 'a running')
  const other = read('tasks')
  take('a', 'a failed')
  other.answer([])
  await other.done
  client.setQueryData(['runs'], ['a'])
  assert.deepEqual(applied, ['a running', 'a failed'])
})

test('after a failed read a change is applied with the next one, and after the stop not again', async () => {
  const { late, take, applied, read } = reading()
  const list = read('runs')
  take('a', 'a running')
  list.fail(new Error('away'))
  await assert.rejects(list.done)
  const next = read('runs')
  next.answer([])
  await next.done
  assert.deepEqual(applied.splice(0), ['a running', 'a running'])
  const last = read('runs')
  take('a', 'a failed')
  late.stop()
  last.answer([])
  await last.done
  assert.deepEqual(applied, ['a failed'])
})
