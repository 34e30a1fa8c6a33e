import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { it, type TestContext } from 'node:test'
import { ErrandError } from '../../contract/errors.ts'
import { Writer } from './writer.ts'

function setUp(t: TestContext) {
  const db = new DatabaseSync(':memory:')
  t.after(() => db.isOpen && db.close())
  db.exec('CREATE TABLE a (x INTEGER PRIMARY KEY)')
  const rows = () =>
    db
      .prepare('SELECT x FROM a ORDER BY x')
      .all()
      .map((row) => row.x)
  const add = (x: number) => () => db.prepare('INSERT INTO a VALUES (?)').run(x).changes
  return { db, writer: new Writer(db, 'test.db'), rows, add }
}

it('commits together what is requested in one turn, and answers only then', async (t) => {
  const { writer, add } = setUp(t)
  const order: string[] = []
  const write = async (x: number) => {
    await writer.write(() => {
      order.push(`work ${x}`)
      return add(x)()
    })
    order.push(`done ${x}`)
  }
  await Promise.all([write(1), write(2)])
  assert.deepEqual(order, ['work 1', 'work 2', 'done 1', 'done 2'])
})

it('a request refused before it wrote and one that fails halfway do not affect the others', async (t) => {
  const { writer, rows, add } = setUp(t)
  const results = await Promise.allSettled([
    writer.write(add(1)),
    writer.write(() => {
      throw new ErrandError('conflict', 'Refused.')
    }),
    writer.write(() => {
      add(2)()
      throw new Error('halfway')
    }),
    writer.write(add(1)),
    writer.write(add(3)),
  ])
  assert.deepEqual(rows(), [1, 3])
  const codes = results.map((result) => (result.status === 'fulfilled' ? 'kept' : result.reason.code))
  assert.deepEqual(codes, ['kept', 'conflict', 'store_failed', 'store_failed', 'kept'])
})

it('commits thousands of simultaneous requests', async (t) => {
  const { writer, rows, add } = setUp(t)
  await Promise.all(Array.from({ length: 2500 }, (_, x) => writer.write(add(x))))
  assert.equal(rows().length, 2500)
})

it('flush commits at once', async (t) => {
  const { writer, rows, add } = setUp(t)
  const writing = writer.write(add(1))
  writer.flush()
  assert.deepEqual(rows(), [1])
  await writing
})

it('refuses requests after the database was closed', async (t) => {
  const { db, writer, add } = setUp(t)
  db.close()
  await assert.rejects(writer.write(add(1)), { code: 'store_failed', message: /test\.db has been closed/ })
})
