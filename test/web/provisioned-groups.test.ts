import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'
import { isAccessible, openPage, password, skip, startBrowser } from '../support/web/browser.ts'

const REFUSES = `case $1 in provision) echo the quota is used up >&2; exit 3 ;; find) echo '{"runners": []}' ;; *) echo '{}' ;; esac`
const groups = {
  builders: { provisioner: 'process', max: 4, spare: 1, idle_seconds: 600 },
  broken: { provisioner: 'command', command: ['sh', '-c', REFUSES, 'maker'] },
}

for (const width of [1280, 390])
  test(`provisioned groups are shown and changed on the page, at ${width} px`, {
    skip,
  }, async (t) => {
    const programs = await startPrograms(t, {
      runner: 'none',
      prepare: ({ data }) => {
        mkdirSync(data, { recursive: true, mode: 0o700 })
        writeFileSync(join(data, 'errand.yaml'), JSON.stringify({ groups }))
      },
    })
    const { client, url } = programs
    await client.users.create({ name: 'ann', password, role: 'admin' })
    const inventory = { hosts: { build: { group: 'broken' } } }
    const steps = [{ name: 'compile', targets: ['build'], cmd: 'true' }]
    await client.runs.create({ yaml: workflowText(steps, { inventory }) })
    const page = await openPage(t, await startBrowser(t), programs)
    await page.setViewportSize({ width, height: 800 })
    await page.goto(`${url}/settings/runners`)
    const builders = page.getByRole('region', { name: 'Group builders' })
    const broken = page.getByRole('region', { name: 'Group broken' })
    await builders.getByText('process, at most 4, 1 spare: 1 idle').waitFor()
    await broken.getByText(/No runner starts: .*the quota is used up.* Next try in 0:\d\d\./).waitFor()
    await isAccessible(page, 'groups whose runners are made')

    const act = async (group: string, word: string, verb: string) => {
      await page.getByRole('button', { name: `More for ${group}` }).click()
      await page.getByRole('button', { name: word }).click()
      const sheet = page.getByRole('dialog')
      await sheet.waitFor()
      return {
        sheet,
        go: async () => {
          await sheet.getByRole('button', { name: verb }).click()
          await sheet.waitFor({ state: 'detached' })
        },
      }
    }
    await (await act('builders', 'Pause…', 'Pause group')).go()
    await builders.getByText('Paused: no new runners.').waitFor()
    await builders.getByText(/Changed: paused, by ann, .* \(errand\.yaml: not paused\)/).waitFor()
    const change = await act('builders', 'Change…', 'Change group')
    await change.sheet.getByLabel('Maximum').fill('1')
    await change.sheet.getByLabel('Spare').fill('2')
    await isAccessible(page, 'figures of a group')
    await change.sheet.getByRole('button', { name: 'Change group' }).click()
    await change.sheet.getByText('spare is 2, which is more than max (1).').waitFor()
    await change.sheet.getByLabel('Maximum').fill('9')
    await change.go()
    await builders.getByText(/Changed: at most 9, by ann/).waitFor()
    const empty = await act('builders', 'Empty…', 'Empty group')
    await empty.sheet.getByText('This removes 0 starting and 1 idle runners. The group is paused').waitFor()
    await isAccessible(page, 'what goes with a group that is emptied')
    await empty.go()
    await builders.getByText('at most 9, 2 spare: none now').waitFor()
    assert.deepEqual(await client.runners.list(), [])
    await (await act('builders', 'Reset to the file…', 'Reset group')).go()
    await builders.getByText('process, at most 4, 1 spare: 1 idle').waitFor()

    await (await act('broken', 'Try again now…', 'Try again')).go()
    await eventually('a probe that failed too', async () => {
      const [group] = await client.runners.groups({ name: 'broken' })
      return (group?.pool?.runners.length ?? 0) > 3
    })
    await page.goto(`${url}/settings/groups`)
    await page.getByRole('region', { name: 'builders' }).getByText('process, at most 4').waitFor()
    await isAccessible(page, 'the page of groups')
    await (await act('builders', 'Pause…', 'Pause group')).go()
    await page.getByText('Paused: no new runners.').waitFor()
  })
