import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { startPrograms, workflowText } from '../support/programs.ts'
import { onlyLarge } from '../support/size.ts'
import { password } from '../support/web/browser.ts'
import { keys, skipFirefox, startFirefox } from '../support/web/firefox.ts'

const LINES = 1_000_000
const LOG = 'section[aria-label^="Log of"]'

test('Firefox shows what Chromium does', { skip: skipFirefox }, async (t) => {
  const programs = await startPrograms(t)
  const { client, url, home } = programs
  await client.users.create({ name: 'ann', password, role: 'admin' })
  const firefox = await startFirefox(t)
  const live = () => firefox.waitFor('[role="status"]', 'live')

  await t.test('a login, and a run that appears and disappears in the list', async () => {
    await firefox.goto(`${url}/login`)
    await firefox.click('input[autocomplete="username"]')
    await firefox.type('ann')
    await firefox.click('input[type="password"]')
    await firefox.type(`${password}${keys.enter}`)
    await firefox.waitFor('nav[aria-label="Errand"]')
    await live()
    const go = join(home, 'go')
    const yaml = workflowText([{ name: 'wait', cmd: `until [ -e ${go} ]; do sleep 0.05; done` }])
    const { run_id } = await client.runs.create({ yaml })
    await firefox.waitFor(`[data-run="${run_id}"]`, 'wait')
    writeFileSync(go, '')
    await firefox.waitFor(`[data-run="${run_id}"]`, 'succe')
  })

  if (onlyLarge('a million lines, a typed workflow and its retry, an answer across a restart of the hub')) {
    await t.test('a million lines: the last, any by its number, and a search', async () => {
      const { run_id } = await client.runs.create({
        yaml: workflowText([{ name: 'print', cmd: `seq -f "line %.0f of a long log" 1 ${LINES}` }]),
      })
      await programs.ended(run_id)
      await firefox.goto(`${url}/runs/${run_id}`)
      await firefox.waitFor(`[data-line="${LINES}"]`, `line ${LINES} of a long log`)
      await firefox.goto(`${url}/runs/${run_id}#step:print:500000`)
      await firefox.waitFor('[data-line="500000"]', 'line 500000 of')
      await firefox.click(LOG)
      await firefox.type(keys.end)
      await firefox.waitFor(`[data-line="${LINES}"]`, `line ${LINES} of a long log`)
      const left = await firefox.evaluate<number[]>(
        `[...document.querySelectorAll('[data-line] > span')].slice(-2).map((each) => each.getBoundingClientRect().x)`,
      )
      assert.equal(left[0], left[1], 'texts start below each other')
      await firefox.type('/')
      await firefox.type('line 777777 ')
      await firefox.waitFor('[data-line="777777"] mark', 'line 777777')
    })

    await t.test('a workflow is typed and run, and its failure retried', async () => {
      await firefox.goto(`${url}/new`)
      await firefox.click('textarea')
      await firefox.evaluate("document.querySelector('textarea').select()")
      const step = { name: 'look', action: 'cmd.run', args: { cmd: 'echo no such host >&2; exit 3' } }
      await firefox.type(JSON.stringify({ version: 'v0.1', name: 'typed', steps: [step] }))
      await firefox.waitFor('main', 'No mistakes, 1 step')
      await firefox.click('button.button-main', 'Run')
      await firefox.waitFor(`${LOG} [data-line="1"]`, 'no such host')
      const [{ run_id } = { run_id: '' }] = (await client.runs.list({ status: 'failed' })).runs
      await firefox.goto(`${url}/runs/${run_id}`)
      await firefox.click('button', 'Retry look')
      await firefox.waitFor('dialog[open]', 'look')
      await firefox.click('dialog[open] button', 'Start attempt 2')
      await firefox.waitFor('body', 'attempt 2 of 2')
    })

    await t.test('a question is answered, and a hub that was away continues', async () => {
      const steps = [
        { name: 'ask', action: 'approval.wait', args: { message: 'Ship it?' } },
        { name: 'ship', action: 'cmd.run', args: { cmd: 'echo shipped' } },
      ]
      const { run_id } = await client.runs.create({ workflow: { version: 'v0.1', name: 'release', steps } })
      await firefox.goto(`${url}/runs/${run_id}`)
      await firefox.waitFor('button', 'Approve')
      await programs.kill('hub')
      await programs.startHub()
      await live()
      await firefox.click('button', 'Approve')
      await firefox.waitFor(LOG, 'shipped')
      assert.equal((await programs.ended(run_id)).status, 'success')
    })
  }

  assert.deepEqual(
    firefox.complaints.filter((complaint) => /Content.Security|TypeError|ReferenceError/.test(complaint)),
    [],
  )
})
