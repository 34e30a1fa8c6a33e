import { setTimeout as sleep } from 'node:timers/promises'
import type { ErrandClient } from '../../../client/client.ts'
import type { ChangePool, PoolView } from '../../../contract/fleet/provisioning.ts'
import type { RunnerGroup } from '../../../contract/fleet/runner-groups.ts'
import type { RunnerView } from '../../../contract/protocol.ts'
import { type CommandGroup, command, type Values } from '../../command.ts'
import { connect } from '../../connection.ts'
import { hubOptions, lifetimeSeconds, waitSeconds, wholeNumber } from '../../option-values.ts'
import { jsonOption, printJson, printTable } from '../../print.ts'
import { countText } from '../../render/table.ts'
import { lineText } from '../../render/terminal-text.ts'

const labelsText = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')

const KINDS = ['sandbox', 'container'] as const

/** The kinds of boxes that it can put steps into. */
const boxesOf = ({ isolation }: Pick<RunnerView, 'isolation'>): string[] =>
  KINDS.filter((kind) => isolation?.[kind].usable)

const list = command({
  summary: 'List the runners of a hub.',
  options: {
    status: {
      type: 'string',
      value: 'STATUS',
      help: 'connected, draining, disconnected; several with commas',
    },
    group: { type: 'string', value: 'GROUP', help: 'Only those of this group' },
    label: { type: 'string', multiple: true, value: 'K=V', help: 'Only those with this label' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand runners list', 'errand runners list --group gpu --status connected'],
  async run({ status, group, label, json, ...hub }) {
    const all = await connect(hub).runners.list({ status, group, label })
    if (json) printJson(all)
    else {
      const rows = all.map((one) => [
        one.id,
        one.group,
        one.status,
        one.hostname,
        String(one.cpus),
        one.memory,
        `${one.running}/${one.slots}`,
        one.bots ? `${one.bots} (${one.bots_memory})` : '',
        boxesOf(one).join(' '),
        labelsText(one.labels),
      ])
      const narrowed = [status, group, label].some((each) => each !== undefined)
      printTable(
        ['ID', 'GROUP', 'STATUS', 'HOST', 'CPUS', 'MEMORY', 'BUSY', 'BOTS', 'BOXES', 'LABELS'],
        rows,
        narrowed ? 'No runner is like that.' : 'No runner has connected yet.',
      )
    }
    return 0
  },
})

const show = command({
  summary: 'Show a runner, and what it is at.',
  args: '<id>',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand runners show server-01'],
  async run({ json, ...hub }, [id]) {
    const one = await connect(hub).runners.get(id!)
    if (json) {
      printJson(one)
      return 0
    }
    const { attempts, agents, labels, running, slots, bots, bots_memory, containers, isolation, ...rest } =
      one
    const facts = Object.entries(rest).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, String(value)]],
    )
    const usable = agents?.filter((agent) => agent.usable).map(({ name }) => name)
    facts.push(['labels', labelsText(labels)], ['busy', `${running} of ${slots} slots`])
    if (bots) facts.push(['bots', `${bots}, for which ${bots_memory} of memory is kept`])
    if (usable) facts.push(['agents', usable.join(' ')])
    if (containers) facts.push(['containers', `${containers.engine} ${containers.version}`])
    const { made_box } = isolation ?? {}
    if (made_box !== undefined)
      facts.push(['box', `the ${made_box} that it is, made for one run; network all`])
    for (const kind of KINDS) {
      const { usable = false, why = 'its release of Errand makes none' } = isolation?.[kind] ?? {}
      facts.push([`isolation: ${kind}`, usable ? 'yes' : `no: ${lineText(why)}`])
    }
    printTable(['', ''], facts, '')
    process.stdout.write('\n')
    const rows = attempts.map((at) => [at.run_id, at.workflow_name, at.step, at.host, at.owner])
    printTable(['RUN', 'WORKFLOW', 'STEP', 'HOST', 'OWNER'], rows, 'It is at nothing.')
    return 0
  },
})

const drain = command({
  summary: 'Let a runner finish what it has and take nothing new, until it is resumed.',
  args: '<id>',
  options: { wait: { type: 'boolean', help: 'Wait until it has nothing left' }, ...hubOptions },
  examples: ['errand runners drain server-01', 'errand runners drain server-01 --wait'],
  async run({ wait, ...hub }, [id]) {
    const client = connect(hub)
    await client.runners.drain(id!)
    process.stdout.write(`${id} takes nothing new.\n`)
    if (wait) {
      await untilIdle(client, id!)
      process.stdout.write(`${id} has nothing left.\n`)
    }
    return 0
  },
})

const LOOK_MS = 500

async function untilIdle(client: ErrandClient, id: string): Promise<void> {
  for (;;) {
    const { running, bots = 0 } = await client.runners.get(id)
    if (running + bots === 0) return
    await sleep(LOOK_MS)
  }
}

const resume = command({
  summary: 'Give a drained runner work again.',
  args: '<id>',
  options: hubOptions,
  examples: ['errand runners resume server-01'],
  async run(hub, [id]) {
    await connect(hub).runners.resume(id!)
    process.stdout.write(`${id} is given work again.\n`)
    return 0
  },
})

const remove = command({
  summary: 'Forget a runner that is gone, and revoke its own token.',
  args: '<id>',
  options: {
    force: { type: 'boolean', help: 'Also one that is connected: what it is at is lost' },
    ...hubOptions,
  },
  examples: ['errand runners remove server-01'],
  async run({ force, ...hub }, [id]) {
    await connect(hub).runners.remove(id!, { force })
    process.stdout.write(`${id} is forgotten.\n`)
    return 0
  },
})

const enrollToken = command({
  summary: 'Make a token that makes one machine a runner; its text is shown this once.',
  options: {
    expires: { type: 'string', value: 'TIME', help: 'How long it is good: 15m, 1h (default), 7d' },
    group: { type: 'string', value: 'GROUP', help: 'The one group that the runner may serve' },
    name: { type: 'string', value: 'NAME', help: 'What it is called in errand tokens list' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand runners enroll-token', 'errand runners enroll-token --group gpu --expires 15m'],
  async run({ expires, group, name, json, ...hub }) {
    const client = connect(hub)
    const expires_in_seconds = lifetimeSeconds('--expires', expires)
    const made = await client.runners.createEnrollment({ expires_in_seconds, group, name })
    if (json) printJson(made)
    else {
      process.stdout.write(`${made.token}\n`)
      process.stderr.write(
        `Good once, until ${made.expires_at}. On the machine: errand runner enroll --hub ${client.url} --token TOKEN\n`,
      )
    }
    return 0
  },
})

const waiting = command({
  summary: 'Show what waits for a runner, and why.',
  options: {
    group: { type: 'string', value: 'GROUP', help: 'Only what waits for this group' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand runners waiting', 'errand runners waiting --group gpu --json'],
  async run({ group, json, ...hub }) {
    const waits = await connect(hub).runners.waits({ group })
    if (json) printJson(waits)
    else {
      const rows = waits.flatMap(({ group = '', steps }) =>
        steps.map(({ run_id, workflow_name, step, attempts, why }) => [
          ...[group, run_id, workflow_name, step, String(attempts)],
          lineText(why),
        ]),
      )
      printTable(['GROUP', 'RUN', 'WORKFLOW', 'STEP', 'WAIT', 'WHY'], rows, 'Nothing waits for a runner.')
    }
    return 0
  },
})

/** How a group's runners are made, and what is under way. */
function madeText({ pool }: RunnerGroup): string {
  if (pool === undefined) return ''
  const { counts, provisioner, max, paused, breaker } = pool
  const there = counts.starting + counts.idle + counts.working + counts.removing
  const starting = counts.starting > 0 ? `, ${counts.starting} starting` : ''
  const held = paused ? ', paused' : breaker === undefined ? '' : ', does not start'
  const changed = pool.changes.length > 0 ? ', changed' : ''
  return `${provisioner}: ${there} of ${max}${starting}${held}${changed}`
}

const groups = command({
  summary: 'List the groups of runners, with what belongs to each.',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand runners groups', 'errand runners groups --json'],
  async run({ json, ...hub }) {
    const all = await connect(hub).runners.groups()
    if (json) printJson(all)
    else {
      const rows = all.map((one) => [
        ...[one.name, one.runners.join(' '), `${one.running}/${one.slots}`, String(one.waiting)],
        ...[String(one.tokens.length), one.repositories.join(' '), one.isolation ?? '', madeText(one)],
      ])
      printTable(
        ['GROUP', 'RUNNERS', 'BUSY', 'WAIT', 'TOKENS', 'REPOSITORIES', 'BOX', 'MADE BY'],
        rows,
        'There is none.',
      )
    }
    return 0
  },
})

/** The settings that are others than the file's, and by whom. */
const changesText = ({ changes }: PoolView): string =>
  changes
    .map(({ key, value, file, by, at }) =>
      lineText(`${key} is ${value} (${by}, ${at}); errand.yaml says ${file}`),
    )
    .join('\n')

async function changed(
  name: string,
  change: ChangePool,
  { json, ...hub }: Values<typeof hubOptions & typeof jsonOption>,
): Promise<number> {
  const pool = await connect(hub).runners.changePool(name, change)
  if (json) printJson(pool)
  else process.stdout.write(`${lineText(changesText(pool) || `${name} is as the file says.`)}\n`)
  return 0
}

const setGroup = command({
  summary:
    "Change how a group's runners are made, until the file says something else; no option: show what was changed.",
  args: '<name>',
  options: {
    max: { type: 'string', value: 'N', help: 'The most that there are at once' },
    spare: { type: 'string', value: 'N', help: 'Made ahead of need' },
    idle: { type: 'string', value: 'TIME', help: 'How long one without work stays: 0, 90s, 10m' },
    reset: { type: 'boolean', help: 'All as the file says, also whether it is paused' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: [
    'errand runners set-group builders --max 40 --spare 2',
    'errand runners set-group builders --reset',
  ],
  async run({ max, spare, idle, reset, ...rest }, [name]) {
    const none = { max: null, spare: null, idle_seconds: null, paused: null }
    const given = {
      ...(max !== undefined && { max: wholeNumber('--max', max) }),
      ...(spare !== undefined && { spare: wholeNumber('--spare', spare) }),
      ...(idle !== undefined && { idle_seconds: waitSeconds('--idle', idle) }),
    }
    return await changed(name!, { ...(reset && none), ...given }, rest)
  },
})

const pauseGroup = command({
  summary: 'Make no runners for a group; what there is goes on.',
  args: '<name>',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand runners pause-group builders'],
  run: (hub, [name]) => changed(name!, { paused: true }, hub),
})

const resumeGroup = command({
  summary: 'Make runners for a group again, at once also where several did not start.',
  args: '<name>',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand runners resume-group builders'],
  run: (hub, [name]) => changed(name!, { paused: false }, hub),
})

const emptyGroup = command({
  summary: "Take away a group's made runners that start or have nothing to do; what waits gets others.",
  args: '<name>',
  options: {
    working: { type: 'boolean', help: 'Also those at work: what they are at is lost' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand runners empty-group builders', 'errand runners empty-group builders --working'],
  async run({ working, json, ...hub }, [name]) {
    const removed = await connect(hub).runners.emptyPool(name!, { working })
    if (json) printJson({ removed })
    else
      process.stdout.write(
        `${countText(removed, 'runner')} of ${name} ${removed === 1 ? 'is' : 'are'} taken away.\n`,
      )
    return 0
  },
})

const addGroup = command({
  summary: 'Make a group that is there before its first runner.',
  args: '<name>',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand runners add-group gpu'],
  async run({ json, ...hub }, [name]) {
    const made = await connect(hub).runners.makeGroup(name!)
    if (json) printJson(made)
    else
      process.stdout.write(`${name} is made. A token for it: errand runners enroll-token --group ${name}\n`)
    return 0
  },
})

const renameGroup = command({
  summary: 'Give a group that was made, and that nothing uses, another name.',
  args: '<name> <new-name>',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand runners rename-group gpu gpu-a100'],
  async run({ json, ...hub }, [name, to]) {
    const changed = await connect(hub).runners.renameGroup(name!, to!)
    if (json) printJson(changed)
    else process.stdout.write(`${name} is ${to} now.\n`)
    return 0
  },
})

const removeGroup = command({
  summary: 'Delete a group that was made, and that nothing uses.',
  args: '<name>',
  options: hubOptions,
  examples: ['errand runners remove-group gpu'],
  async run(hub, [name]) {
    await connect(hub).runners.deleteGroup(name!)
    process.stdout.write(`${name} is deleted.\n`)
    return 0
  },
})

export const runners: CommandGroup = {
  summary: 'Look at and control the runners of a hub.',
  commands: {
    ...{ list, show, waiting, drain, resume, remove, 'enroll-token': enrollToken },
    ...{ groups, 'add-group': addGroup, 'rename-group': renameGroup, 'remove-group': removeGroup },
    ...{
      'set-group': setGroup,
      'pause-group': pauseGroup,
      'resume-group': resumeGroup,
      'empty-group': emptyGroup,
    },
  },
}
