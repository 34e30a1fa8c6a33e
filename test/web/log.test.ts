import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'
import { isAccessible, openPage, password, skip, startBrowser } from '../support/web/browser.ts'

const LINES = 1_000_000

test('a log of any length can be read, followed and searched on its page', { skip }, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const page = await openPage(t, browser, programs)
  const box = page.getByRole('region', { name: /^Log of/ })
  const open = async (cmd: string, name = 'print') => {
    const { run_id } = await programs.client.runs.create({ yaml: workflowText([{ name, cmd }]) })
    return run_id
  }
  const line = (number: number) => page.locator(`[data-line="${number}"]`)
  const inBox = (what: string) =>
    page.evaluate(`((box) => ${what})(document.querySelector('section[aria-label^="Log of"]'))`)

  await t.test('a million lines: the end first, any line at once, few nodes', async () => {
    const id = await open(`seq -f "line %.0f of a long log" 1 ${LINES}`)
    await programs.ended(id)
    await page.goto(`${programs.url}/runs/${id}`)
    await line(LINES).getByText(`line ${LINES} of a long log`).waitFor()
    await page.getByText('1,000,000 lines').waitFor()
    await page.goto(`${programs.url}/runs/${id}#step:print:500000-500002`)
    await line(500_001).getByText('line 500001 of a long log').waitFor()
    const nodes = Number(await inBox('box.querySelectorAll("*").length'))
    assert.ok(nodes > 20 && nodes <= 300, `${nodes} nodes`)
    await box.press('End')
    await line(LINES).getByText(`line ${LINES} of`).waitFor()
    await inBox('(box.scrollTop = 0)')
    await line(1).getByText('line 1 of a long log').waitFor()

    await box.press('Control+f')
    await page.keyboard.type('line 777777 ')
    await line(777_777).locator('mark').getByText('line 777777').waitFor()
    await page.getByText('1 of 1', { exact: true }).waitFor()
    assert.match(page.url(), /find=line\+777777|find=line%20777777/)
    await page.reload()
    await line(777_777).locator('mark').first().waitFor()

    // The hub finds the only hit, above the visible part, before it has searched everything.
    const requests: number[] = []
    const isSought = (url: URL) =>
      url.pathname.endsWith('/lines/search') && url.searchParams.get('q') === 'line 666666 '
    await page.route(isSought, async (route) => {
      const url = new URL(route.request().url())
      requests.push(Number(url.searchParams.get('cursor')))
      if (requests.length > 1) return await route.continue()
      // A busy hub searches one part at a time, and may not have reached the hit.
      for (;;) {
        const response = await route.fetch({ url: url.href })
        const json = await response.json()
        if (json.hits.length > 0) return await route.fulfill({ response, json: { ...json, next: 900_000 } })
        url.searchParams.set('cursor', json.next)
      }
    })
    await box.press('End')
    await line(LINES).getByText(`line ${LINES} of`).waitFor()
    await page.getByLabel('Search in this log').fill('line 666666 ')
    await line(666_666).locator('mark').getByText('line 666666').waitFor()
    assert.deepEqual(requests.slice(0, 2), [1, 900_000])
    assert.ok(
      requests.every((cursor, index) => index === 0 || cursor > requests[index - 1]!),
      `${requests}`,
    )
    await page.unrouteAll()
  })

  await t.test('a failed step opens at its last words on stderr, with any number of lines', async () => {
    const reported = join(programs.home, 'told')
    const wait = `until [ -e ${reported} ]; do sleep 0.05; done`
    const id = await open(`seq -f "line %.0f" 1 3000; ${wait}; seq -f "error %.0f" 1 400 >&2; exit 3`)
    for await (const event of programs.client.events(id, { outputBytes: 0 }))
      if (event.type === 'output' && event.stream === 'stdout' && event.offset + event.length === 28_893)
        writeFileSync(reported, '')
    await page.goto(`${programs.url}/runs/${id}`)
    await line(3001).getByText('error 1', { exact: true }).waitFor()
    await line(2999).getByText('line 2999').waitFor()
    await isAccessible(page, 'a log')
  })

  await t.test(
    'the log fills the window until Escape, also by key and without full-screen support',
    async () => {
      const fills = () =>
        inBox(
          '(({ x, right, bottom }) => x === 0 && right === innerWidth && bottom === innerHeight)(box.getBoundingClientRect())',
        )
      assert.equal(await fills(), false)
      await page.getByRole('button', { name: 'Full screen (z)' }).click()
      const leave = page.getByRole('button', { name: 'Leave full screen (z)' })
      await leave.waitFor()
      await eventually('a log that fills the window', fills)
      await line(3001).waitFor()
      await isAccessible(page, 'a log on all of the window')
      await leave.click()
      await eventually('the end of full screen', () => page.evaluate('document.fullscreenElement === null'))
      await page.evaluate('delete Element.prototype.requestFullscreen')
      await page.keyboard.press('z')
      await leave.waitFor()
      assert.equal(await fills(), true)
      await page.keyboard.press('Escape')
      await leave.waitFor({ state: 'detached' })
      assert.equal(await fills(), false)
    },
  )

  await t.test('the log follows the end, stops when you scroll up, and says how much is new', async () => {
    const more = join(programs.home, 'more')
    const id = await open(
      `seq -f "line %.0f" 1 500; until [ -e ${more} ]; do sleep 0.05; done; seq -f "new %.0f" 1 50`,
    )
    await page.goto(`${programs.url}/runs/${id}`)
    await line(500).getByText('line 500').waitFor()
    await page.getByRole('button', { name: /Following/ }).waitFor()
    await box.hover()
    await page.mouse.wheel(0, -900)
    await page.getByText('Paused at line 500').waitFor()
    writeFileSync(more, '')
    await page.getByText('550 lines').waitFor()
    assert.equal(await line(550).count(), 0)
    await programs.ended(id)
    await box.press('End')
    await line(550).getByText('new 50', { exact: true }).waitFor()
  })

  await t.test(
    'long lines are cut, wrapped and shown whole; of a progress bar the last state stays',
    async () => {
      const long = `head -c 5000 /dev/zero | tr '\\0' x; echo`
      const id = await open(
        `${long}; printf '10 %%\\r50 %%\\r100 %%\\n'; printf 'rm \\342\\200\\256txt.exe\\n'`,
      )
      await programs.ended(id)
      await page.goto(`${programs.url}/runs/${id}`)
      await line(2).getByText('100 %', { exact: true }).waitFor()
      await line(3).getByText('rm <U+202E>txt.exe').waitFor()
      assert.equal((await line(1).boundingBox())?.height, 20)
      await box.press('w')
      await page.getByRole('button', { name: 'Wrap long lines (w)', pressed: true }).waitFor()
      const wrapped = (await line(1).boundingBox())!.height
      assert.ok(wrapped > 40, `${wrapped}`)
      await page.getByRole('button', { name: 'show 4.9 KB' }).click()
      await page.getByRole('button', { name: 'show 4.9 KB' }).waitFor({ state: 'detached' })
      assert.ok((await line(1).boundingBox())!.height > wrapped)
      await box.press('t')
      await line(2).locator('time').waitFor()
      // The setting is kept for the next log.
      await page.reload()
      await line(2).locator('time').waitFor()
      await box.press('t')
      await box.press('w')
    },
  )

  await t.test(
    'a search counts, goes forward and back, and says what is wrong with an expression',
    async () => {
      const id = await open('for i in $(seq 1 300); do echo "$i of these"; echo "Timeout at $i"; done')
      await programs.ended(id)
      await page.goto(`${programs.url}/runs/${id}?find=^timeout+at+\\d%2B$&re=1`)
      const count = (text: string) => page.getByText(text, { exact: true }).waitFor()
      await count('1 of 300')
      await line(2).locator('mark').getByText('Timeout at 1', { exact: true }).waitFor()
      const input = page.getByLabel('Search in this log')
      await input.press('Enter')
      await count('2 of 300')
      await input.press('Shift+Enter')
      await input.press('Shift+Enter')
      await count('300 of 300')
      await line(600).locator('mark').waitFor()
      await input.fill('a(b')
      await page.getByRole('alert').filter({ hasText: 'at character 3' }).waitFor()
      await page.getByRole('button', { name: 'Regular expression' }).click()
      await count('no match')
      await isAccessible(page, 'a search')
      await input.press('Escape')
      assert.equal(await input.inputValue(), '')
      // In the field, Ctrl+F belongs to the browser.
      await page.evaluate(
        'window.addEventListener("keydown", (event) => { window.taken = event.defaultPrevented })',
      )
      await box.press('Control+f')
      assert.equal(await page.evaluate('window.taken'), true)
      await page.keyboard.press('Control+f')
      assert.equal(await page.evaluate('window.taken'), false)
    },
  )

  await t.test(
    'one stream can be read, searched and linked separately, with the line numbers of both',
    async () => {
      const reported = join(programs.home, 'first')
      const print = 'for i in $(seq 1 200); do echo "out $i"; echo "err $i" >&2; done'
      const wait = `until [ -e ${reported} ]; do sleep 0.05; done`
      const second = join(programs.home, 'second')
      const more = `until [ -e ${second} ]; do sleep 0.05; done; echo "two err" >&2; sleep 600`
      const id = await open(`seq -f "out before %.0f" 1 300; ${wait}; echo "one err" >&2; ${more}`)
      for await (const event of programs.client.events(id, { outputBytes: 0 })) {
        // The complete output, which may arrive in several parts.
        if (event.type === 'output' && event.stream === 'stdout' && event.offset + event.length === 4392)
          writeFileSync(reported, '')
        if (event.type === 'output' && event.stream === 'stderr') break
      }
      await page.goto(`${programs.url}/runs/${id}`)
      await line(301).waitFor()
      const streams = page.getByLabel('Streams')
      await streams.selectOption('stderr')
      await page.getByText('1 of 301 lines').waitFor()
      await eventually('one line', async () => (await page.locator('[data-line]').count()) === 1)
      assert.match(page.url(), /stream=stderr/)
      await page.reload()
      await line(301).getByText('one err').waitFor()
      await page.getByText('1 of 301 lines').waitFor()
      await streams.selectOption('stdout')
      await page.getByText('300 of 301 lines').waitFor()
      await line(300).getByText('out before 300').waitFor()
      await line(301).waitFor({ state: 'detached' })
      const input = page.getByLabel('Search in this log')
      await input.fill('r')
      await page.getByText(/of 300$/).waitFor()
      await input.press('Escape')
      await page.goto(`${programs.url}/runs/${id}?stream=stdout#step:print:120`)
      await line(120).getByText('out before 120').waitFor()
      await isAccessible(page, 'one stream')

      // A line that arrives while the page asks the hub which lines belong to the stream is asked for as well.
      await page.route(
        /\/lines\/stretches\?/,
        async (route) => {
          const response = await route.fetch()
          writeFileSync(second, '')
          await page.getByText('302 of 302 lines').waitFor()
          await route.fulfill({ response })
        },
        { times: 1 },
      )
      await streams.selectOption('stderr')
      await page.getByText('2 of 302 lines', { exact: true }).waitFor()
      await line(302).getByText('two err').waitFor()
      await programs.client.runs.cancel(id)
      await programs.ended(id)

      // However often the two alternate, the command line and the page tell them apart.
      const mixed = await open(`${print}; exit 3`)
      await programs.ended(mixed)
      const { stdout } = await programs.call(
        'runs',
        'logs',
        mixed,
        '--stream',
        'stderr',
        '--lines',
        '-3',
        '--json',
      )
      const reported3 = stdout
        .trim()
        .split('\n')
        .map((text) => JSON.parse(text))
      assert.deepEqual(
        reported3.map(({ text, stream }) => [text, stream]),
        [
          ['err 198', 'stderr'],
          ['err 199', 'stderr'],
          ['err 200', 'stderr'],
        ],
      )
      await page.goto(`${programs.url}/runs/${mixed}?stream=stdout#step:print:${reported3[0].number}`)
      await page.getByText('200 of 400 lines').waitFor()
      await eventually('lines of stdout only', async () => {
        const shown = await page.locator('[data-line]').allTextContents()
        return shown.length > 0 && shown.every((text) => text.includes('out'))
      })
      const wrong = await programs.call('runs', 'logs', mixed, '--stream', 'stdin')
      assert.equal(wrong.code, 2)
      assert.match(wrong.stderr, /use stdout or stderr/)
    },
  )

  await t.test('groups fold when they have ended, and a hit or a link opens them', async () => {
    const id = await open(
      "echo '::group::Set up'; seq -f 'tool %.0f' 1 30; echo '::endgroup::'; echo between; echo '##[group]Build'; seq -f 'file %.0f' 1 5",
    )
    await programs.ended(id)
    await page.goto(`${programs.url}/runs/${id}`)
    const setUp = page.getByRole('button', { name: 'Set up 30 lines' })
    await page.getByRole('button', { name: 'Set up 30 lines', expanded: false }).waitFor()
    await page.getByRole('button', { name: 'Build 5 lines', expanded: true }).waitFor()
    await line(33).getByText('between').waitFor()
    assert.equal(await line(2).count(), 0)
    await setUp.click()
    await line(2).getByText('tool 1', { exact: true }).waitFor()
    await setUp.click()
    await line(2).waitFor({ state: 'detached' })
    await page.getByLabel('Search in this log').fill('tool 17')
    await line(18).locator('mark').waitFor()
    await page.goto(`${programs.url}/runs/${id}#step:print:12`)
    await page.reload()
    await line(12).getByText('tool 11', { exact: true }).waitFor()
  })

  await t.test('lines that could not be fetched are requested again automatically', async () => {
    const id = await open('seq -f "line %.0f" 1 3000')
    await programs.ended(id)
    await page.goto(`${programs.url}/runs/${id}`)
    await line(3000).getByText('line 3000').waitFor()
    const lines = ({ pathname }: URL) => pathname.endsWith('/lines')
    await page.route(lines, (route) => route.abort('connectionreset'))
    await page.goto(`${programs.url}/runs/${id}#step:print:1500`)
    const failure = page.getByRole('alert').filter({ hasText: 'The hub is not responding.' })
    await failure.waitFor()
    await page.unroute(lines)
    await line(1500).getByText('line 1500').waitFor()
    await failure.waitFor({ state: 'detached' })
  })
})
