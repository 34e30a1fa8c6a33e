import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import type { RunQuery } from '../../engine/ports.ts'
import { openSqliteStores } from './open.ts'
import { SqliteRunStore } from './runs.ts'
import { SqlSession } from './session.ts'
import { SqliteTaskStore } from './tasks.ts'

/** A session for reads that records SQLite's query plan of each. */
class ExplainedSession extends SqlSession {
  readonly steps: string[] = []

  override all(sql: string, ...values: SQLInputValue[]) {
    for (const { detail } of super.all(`EXPLAIN QUERY PLAN ${sql}`, ...values))
      this.steps.push(String(detail))
    return super.all(sql, ...values)
  }
}

async function openExplained(t: TestContext): Promise<() => ExplainedSession> {
  const dir = mkdtempSync(path.join(tmpdir(), 'errand-lists-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const file = path.join(dir, 'errand.db')
  ;(await openSqliteStores({ file })).close()
  const db = new DatabaseSync(file)
  t.after(() => db.close())
  return () => new ExplainedSession(db, file, undefined as never)
}

test('a list that begins with open runs reads only from indexes, whatever the filter', async (t) => {
  const explained = await openExplained(t)
  const tenant = 'default'
  const narrowed: Partial<RunQuery>[] = [
    {},
    { tenant },
    { tenant, owner: 'ada' },
    { tenant, workflow_name: 'demo' },
    { tenant, blueprint: 'agent' },
    { tenant, blueprint: 'agent', owner: 'ada' },
    { tenant, statuses: ['running', 'failed'] },
    { tenant, labels: { team: 'db' } },
    { tenant, inputs: { region: 'eu' } },
    { tenant, parent_run_id: 'run_a' },
    { tenant, latest: true },
    { tenant, text: 'demo' },
    { tenant, shared_with: { name: 'ada', role: 'user' } },
  ]
  for (const query of narrowed) {
    const session = explained()
    await new SqliteRunStore(session).list({ ...query, limit: 100, sort: 'active' })
    const description = `${JSON.stringify(query)}: ${session.steps.join(' | ')}`
    assert.ok(session.steps.length > 0, description)
    // Few runs are shared, so their index is read in its own order.
    const slow = session.steps.filter(
      (step) => (/^SCAN/.test(step) && !/ runs_shared$|VIRTUAL TABLE/.test(step)) || /TEMP B-TREE/.test(step),
    )
    assert.deepEqual(slow, [], description)
  }
})

test('a list of tasks that begins with waiting and running ones reads only from indexes', async (t) => {
  const explained = await openExplained(t)
  for (const query of [{}, { owner: 'ada' }, { states: ['running' as const, 'done' as const] }]) {
    const session = explained()
    await new SqliteTaskStore(session).list({ tenant: 'default', ...query, limit: 100, sort: 'active' })
    const description = `${JSON.stringify(query)}: ${session.steps.join(' | ')}`
    assert.ok(session.steps.length > 0, description)
    assert.deepEqual(
      session.steps.filter((step) => !/^SEARCH tasks USING INDEX tasks_by_(tenant|owner)_state /.test(step)),
      [],
      description,
    )
  }
})
