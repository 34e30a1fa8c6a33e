import { text } from 'node:stream/consumers'
import type { ChannelView, CreateChannelInput } from '../../../contract/channels.ts'
import { type CommandGroup, command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { hubOptions, oneOf } from '../../option-values.ts'
import { jsonOption, printJson, printTable } from '../../print.ts'

const kinds = ['webhook', 'ntfy', 'email'] as const

const list = command({
  summary: 'List the channels where you get notifications.',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand channels list'],
  async run({ json, ...hub }) {
    const { channels } = await connect(hub).channels.list()
    if (json) printJson(channels)
    else
      printTable(
        ['ID', 'NAME', 'KIND', 'TO', 'ABOUT', 'LAST SENT', 'WAITING', 'WHY'],
        channels.map((one) => [
          one.id,
          one.name,
          one.kind,
          one.to,
          one.tells.join(', '),
          one.last_sent_at ?? 'never',
          String(one.waiting),
          failureText(one),
        ]),
        'You have no channels. Add one with: errand channels add',
      )
    return 0
  },
})

const failureText = ({ failure }: ChannelView): string =>
  failure === undefined ? '' : `${failure.dropped ? 'gave up: ' : ''}${failure.message}`

const add = command({
  summary: 'Get notified of questions to you and failed runs: by webhook, ntfy topic or e-mail.',
  args: '<webhook|ntfy|email> <address>',
  options: {
    name: { type: 'string', value: 'NAME', help: 'Name of the channel (default: its kind and server)' },
    only: { type: 'string', value: 'WHAT', help: 'Notify only about needs_me, or only about failures' },
    'value-from-stdin': {
      type: 'boolean',
      help: 'Read the token of the topic, or the secret that signs the webhook, from standard input',
    },
    ...hubOptions,
    ...jsonOption,
  },
  examples: [
    'errand channels add ntfy https://ntfy.sh/my-topic',
    'errand channels add webhook https://hooks.example.org/errand --only failures',
    'errand channels add email ann@example.org',
  ],
  async run({ name, only: values, 'value-from-stdin': read, json, ...hub }, [kindName, address]) {
    const kind = oneOf('the kind', kindName, kinds)!
    const only = oneOf('--only', values, ['needs_me', 'failures'])
    if (read && kind === 'email')
      throw new UsageError('--value-from-stdin cannot be used with e-mail', 'leave it out')
    const value = read ? (await text(process.stdin)).replace(/\r?\n$/, '') : undefined
    const more = { name, ...(only !== undefined && { tells: [only] }) }
    const channel: CreateChannelInput =
      kind === 'email'
        ? { kind, address: address!, ...more }
        : kind === 'ntfy'
          ? { kind, url: address!, token: value, ...more }
          : { kind, url: address!, secret: value, ...more }
    const made = await connect(hub).channels.add(channel)
    if (json) printJson(made)
    else {
      process.stdout.write(`${made.id}\n`)
      if (made.secret !== undefined)
        process.stderr.write(`Requests are signed with this secret, shown only once: ${made.secret}\n`)
      process.stderr.write(`Try it: errand channels test ${made.id}\n`)
    }
    return 0
  },
})

const test = command({
  summary: 'Send a test notification to a channel now.',
  args: '<id>',
  options: hubOptions,
  examples: ['errand channels test channel_abc'],
  async run(hub, [id]) {
    await connect(hub).channels.test(id!)
    process.stdout.write('The test was sent.\n')
    return 0
  },
})

const remove = command({
  summary: 'Remove a channel and its pending notifications.',
  args: '<id>',
  options: hubOptions,
  examples: ['errand channels remove channel_abc'],
  async run(hub, [id]) {
    await connect(hub).channels.remove(id!)
    process.stdout.write(`${id} is removed.\n`)
    return 0
  },
})

export const channels: CommandGroup = {
  summary: 'Manage the channels where you get notifications.',
  commands: { list, add, test, remove },
}
