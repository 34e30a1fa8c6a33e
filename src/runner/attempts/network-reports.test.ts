import assert from 'node:assert/strict'
import test from 'node:test'
import { createMasker } from '../masking/masker.ts'
import type { LogEntry } from '../proxy/rules.ts'
import { AttemptJournal } from './journal.ts'
import { NetworkReports } from './network-reports.ts'

const refused = (host: string): LogEntry => ({
  type: 'refused',
  host,
  port: 443,
  why: 'host_not_allowed',
  count: 1,
})

/** Makes an endpoint whose offset is the number of its lines. */
function endpoint(lines: LogEntry[]) {
  return {
    lines,
    logSince: (offset: number) => ({ lines: lines.slice(offset), offset: lines.length }),
    close: async () => void lines.push({ type: 'used', host: 'c.test', sent_bytes: 1, received_bytes: 2 }),
  }
}

test('each host is reported once, even across processes, and the usage at the end', async () => {
  const journal = new AttemptJournal()
  const log = endpoint([refused('a.test'), { type: 'asked', id: 1, service: 'x', input_tokens: 1 }])
  new NetworkReports(journal, log, undefined).look()
  log.lines.push(refused('b.test'))
  const later = new NetworkReports(journal, log, undefined)
  later.look()
  later.look()
  await later.close()
  await new NetworkReports(
    journal,
    { ...log, close: async () => Promise.reject(new Error()) },
    undefined,
  ).close()
  assert.deepEqual(journal.list, [
    { type: 'network', kind: 'refused', host: 'a.test', port: 443, why: 'host_not_allowed', count: 1 },
    { type: 'network', kind: 'refused', host: 'b.test', port: 443, why: 'host_not_allowed', count: 1 },
    { type: 'network', kind: 'used', host: 'c.test', sent_bytes: 1, received_bytes: 2 },
  ])
})

test('a secret in the name of a host is hidden', () => {
  const journal = new AttemptJournal()
  const masker = createMasker(['hunter2hunter2'])
  new NetworkReports(journal, endpoint([refused('hunter2hunter2.evil.test')]), masker).look()
  assert.doesNotMatch(JSON.stringify(journal.list), /hunter2/)
})
