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

/** Returns the kinds of boxes in which a runner can run steps. */
const boxesOf = ({ isolation }: Pick<RunnerView, 'isolation'>): string[] =>
  KINDS.filter((kind) => isolation?.[kind].usable)

const list = command({
  summary: 'List the runners of a hub.',
  options: {
    status: {
      type: 'string',
      value: 'STATUS',
      help: 'Only runners with this status: connected, draining, disconnected; several with commas',
    },
    group: { type: 'string', value: 'GROUP', help: 'Only runners of this group' },
    label: { type: 'string', multiple: true, value: 'K=V', help: 'Only runners with this label' },
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
        narrowed ? 'No runners match.' : 'No runner has connected yet.',
      )
    }
    return 0
  },
})

const show = command({
  summary: 'Show a runner and what it is running.',
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
    if (bots) facts.push(['bots', `${bots}, with ${bots_memory} of memory reserved for them`])
    if (usable) facts.push(['agents', usable.join(' ')])
    if (containers) facts.push(['containers', `${containers.engine} ${containers.version}`])
    const { made_box } = isolation ?? {}
    if (made_box !== undefined)
      facts.push(['box', `the runner is a ${made_box} made for one run; network all`])
    for (const kind of KINDS) {
      const { usable = false, why = 'its version of Errand does not support it' } = isolation?.[kind] ?? {}
      facts.push([`isolation: ${kind}`, usable ? 'yes' : `no: ${lineText(why)}`])
    }
    printTable(['', ''], facts, '')
    process.stdout.write('\n')
    const rows = attempts.map((at) => [at.run_id, at.workflow_name, at.step, at.host, at.owner])
    printTable(['RUN', 'WORKFLOW', 'STEP', 'HOST', 'OWNER'], rows, 'It is running nothing.')
    return 0
  },
})

const drain = command({
  summary: 'Let a runner finish its work and take no new work until it is resumed.',
  args: '<id>',
  options: { wait: { type: 'boolean', help: 'Wait until the runner has no work left' }, ...hubOptions },
  examples: ['errand runners drain server-01', 'errand runners drain server-01 --wait'],
  async run({ wait, ...hub }, [id]) {
    const client = connect(hub)
    await client.runners.drain(id!)
    process.stdout.write(`${id} takes no new work.\n`)
    if (wait) {
      await untilIdle(client, id!)
      process.stdout.write(`${id} has no work left.\n`)
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
    process.stdout.write(`${id} gets work again.\n`)
    return 0
  },
})

const remove = command({
  summary: 'Forget a runner that is gone, and revoke its own token.',
  args: '<id>',
  options: {
    force: { type: 'boolean', help: 'Also a connected runner: its work is lost' },
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
  summary: 'Create a token that enrols one machine as a runner. Its text is shown only once.',
  options: {
    expires: { type: 'string', value: 'TIME', help: 'How long the token is valid: 15m, 1h (default), 7d' },
    group: { type: 'string', value: 'GROUP', help: 'The only group that the runner may serve' },
    name: { type: 'string', value: 'NAME', help: 'Name of the token in errand tokens list' },
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
        `Valid for one use, until ${made.expires_at}. On the machine: errand runner enroll --hub ${client.url} --token TOKEN\n`,
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

/** Returns how a group's runners are provisioned, and how many there are. */
function poolText({ pool }: RunnerGroup): string {
  if (pool === undefined) return ''
  const { counts, provisioner, max, paused, breaker } = pool
  const there = counts.starting + counts.idle + counts.working + counts.removing
  const starting = counts.starting > 0 ? `, ${counts.starting} starting` : ''
  const held = paused ? ', paused' : breaker === undefined ? '' : ', does not start'
  const changed = pool.changes.length > 0 ? ', changed' : ''
  return `${provisioner}: ${there} of ${max}${starting}${held}${changed}`
}

const groups = command({
  summary: 'List the groups of runners and what belongs to each.',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand runners groups', 'errand runners groups --json'],
  async run({ json, ...hub }) {
    const all = await connect(hub).runners.groups()
    if (json) printJson(all)
    else {
      const rows = all.map((one) => [
        ...[one.name, one.runners.join(' '), `${one.running}/${one.slots}`, String(one.waiting)],
        ...[String(one.tokens.length), one.repositories.join(' '), one.isolation ?? '', poolText(one)],
      ])
      printTable(
        ['GROUP', 'RUNNERS', 'BUSY', 'WAIT', 'TOKENS', 'REPOSITORIES', 'BOX', 'MADE BY'],
        rows,
        'There are no groups.',
      )
    }
    return 0
  },
})

/** Lists the settings that differ from the file, and who changed them. */
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
  else process.stdout.write(`${lineText(changesText(pool) || `${name} has the settings of the file.`)}\n`)
  return 0
}

const setGroup = command({
  summary:
    "Change how a group's runners are provisioned, until the file changes. Without options, show the changes.",
  args: '<name>',
  options: {
    max: { type: 'string', value: 'N', help: 'Most runners at once' },
    spare: { type: 'string', value: 'N', help: 'Runners to start ahead of need' },
    idle: { type: 'string', value: 'TIME', help: 'How long a runner without work stays: 0, 90s, 10m' },
    reset: { type: 'boolean', help: 'Use the settings of the file again, also for pausing' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: [
    'errand runners set-group builders --max 40 --spare 2',
    'errand runners set-group builders --reset',
  ],
  async run({ max, spare, idle, reset, ...rest }, [name]) {
    const none = { max: null, spare: null, idle_seconds: null, paused: null }
    const fields = {
      ...(max !== undefined && { max: wholeNumber('--max', max) }),
      ...(spare !== undefined && { spare: wholeNumber('--spare', spare) }),
      ...(idle !== undefined && { idle_seconds: waitSeconds('--idle', idle) }),
    }
    return await changed(name!, { ...(reset && none), ...fields }, rest)
  },
})

const pauseGroup = command({
  summary: 'Start no new runners for a group; existing ones keep running.',
  args: '<name>',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand runners pause-group builders'],
  run: (hub, [name]) => changed(name!, { paused: true }, hub),
})

const resumeGroup = command({
  summary: 'Start runners for a group again, immediately even if several failed to start.',
  args: '<name>',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand runners resume-group builders'],
  run: (hub, [name]) => changed(name!, { paused: false }, hub),
})

const emptyGroup = command({
  summary: "Remove a group's provisioned runners that are starting or idle. Waiting work gets new ones.",
  args: '<name>',
  options: {
    working: { type: 'boolean', help: 'Also runners at work: their work is lost' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand runners empty-group builders', 'errand runners empty-group builders --working'],
  async run({ working, json, ...hub }, [name]) {
    const removed = await connect(hub).runners.emptyPool(name!, { working })
    if (json) printJson({ removed })
    else
      process.stdout.write(
        `${countText(removed, 'runner')} of ${name} ${removed === 1 ? 'is' : 'are'} removed.\n`,
      )
    return 0
  },
})

const addGroup = command({
  summary: 'Create a group before its first runner exists.',
  args: '<name>',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand runners add-group gpu'],
  async run({ json, ...hub }, [name]) {
    const made = await connect(hub).runners.makeGroup(name!)
    if (json) printJson(made)
    else
      process.stdout.write(
        `${name} is created. Create a token for it with: errand runners enroll-token --group ${name}\n`,
      )
    return 0
  },
})

const renameGroup = command({
  summary: 'Rename a group that was made with add-group and that nothing uses.',
  args: '<name> <new-name>',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand runners rename-group gpu gpu-a100'],
  async run({ json, ...hub }, [name, to]) {
    const changed = await connect(hub).runners.renameGroup(name!, to!)
    if (json) printJson(changed)
    else process.stdout.write(`${name} is now ${to}.\n`)
    return 0
  },
})

const removeGroup = command({
  summary: 'Delete a group that was made with add-group and that nothing uses.',
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
  summary: 'Show and control the runners of a hub.',
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
