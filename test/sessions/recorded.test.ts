import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { builtinActionRegistry } from '../../src/actions/registry.ts'
import { agentRegistry } from '../../src/agents/registry.ts'
import { openAttempts } from '../../src/runner/open-attempts.ts'
import { endOf, textOf } from '../support/runner/attempt-fixture.ts'
import { prepare, RECORDED, storyOf } from './recording.ts'

const cuts = {
  nothing: () => 0,
  'a third': (reports: number) => Math.floor(reports / 3),
  'all but the end': (reports: number) => reports - 1,
}

// The folders of sessions with each agent, as `record.ts` found them. The reports about them must be the same as then.
for (const name of readdirSync(RECORDED))
  describe(`the recorded session ${name}`, () => {
    for (const [what, reports] of Object.entries(cuts))
      it(`gives the same reports if ${what} was reported before`, async () => {
        const place = mkdtempSync(join(tmpdir(), 'errand-test-'))
        try {
          const recorded = prepare(name, place, reports)
          const attempts = openAttempts({
            dir: join(place, 'attempts'),
            workspaceDir: join(place, 'workspaces'),
            registry: builtinActionRegistry,
            timeoutGraceMs: 100,
            agents: {
              known: agentRegistry,
              folder: join(place, 'agents'),
              sessionsDir: join(place, 'sessions'),
              allowedDirs: 'any',
            },
          })
          const [held] = await attempts.recover()
          await endOf(held!)
          assert.deepEqual(storyOf(held!.reports), storyOf(recorded.reports))
          assert.equal(await textOf(held!), recorded.said)
          const folder = join(place, 'attempts', recorded.facts.spec.attempt_id)
          const sent = recorded.sent.map((_, i) =>
            readFileSync(join(folder, `process.${i + 1}`, 'input'), 'utf8'),
          )
          assert.deepEqual(sent, recorded.sent)
          await attempts.close()
        } finally {
          rmSync(place, { recursive: true, force: true })
        }
      })
  })
