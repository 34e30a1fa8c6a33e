import { text } from 'node:stream/consumers'
import type { CreatePlaceInput, PlaceView } from '../../../contract/places.ts'
import { type CommandGroup, command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { hubOptions, oneOf } from '../../option-values.ts'
import { jsonOption, printJson, printTable } from '../../print.ts'

const kinds = ['webhook', 'ntfy', 'email'] as const

const list = command({
  summary: 'List the places where you get notifications.',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand places list'],
  async run({ json, ...hub }) {
    const { places } = await connect(hub).places.list()
    if (json) printJson(places)
    else
      printTable(
        ['ID', 'NAME', 'KIND', 'TO', 'ABOUT', 'LAST SENT', 'WAITING', 'WHY'],
        places.map((one) => [
          one.id,
          one.name,
          one.kind,
          one.to,
          one.tells.join(', '),
          one.last_sent_at ?? 'never',
          String(one.waiting),
          failureText(one),
        ]),
        'You have no places. Add one with: errand places add',
      )
    return 0
  },
})

const failureText = ({ failure }: PlaceView): string =>
  failure === undefined ? '' : `${failure.dropped ? 'gave up: ' : ''}${failure.message}`

const add = command({
  summary: 'Get notified of questions to you and failed runs: by webhook, ntfy topic or e-mail.',
  args: '<webhook|ntfy|email> <address>',
  options: {
    name: { type: 'string', value: 'NAME', help: 'Name of the place (default: its kind and server)' },
    only: { type: 'string', value: 'WHAT', help: 'Notify only about needs_me, or only about failures' },
    'value-from-stdin': {
      type: 'boolean',
      help: 'Read the token of the topic, or the secret that signs the webhook, from standard input',
    },
    ...hubOptions,
    ...jsonOption,
  },
  examples: [
    'errand places add ntfy https://ntfy.sh/my-topic',
    'errand places add webhook https://hooks.example.org/errand --only failures',
    'errand places add email ann@example.org',
  ],
  async run({ name, only: given, 'value-from-stdin': read, json, ...hub }, [kindGiven, address]) {
    const kind = oneOf('the kind', kindGiven, kinds)!
    const only = oneOf('--only', given, ['needs_me', 'failures'])
    if (read && kind === 'email')
      throw new UsageError('--value-from-stdin does not go with e-mail', 'leave it out')
    const value = read ? (await text(process.stdin)).replace(/\r?\n$/, '') : undefined
    const more = { name, ...(only !== undefined && { tells: [only] }) }
    const place: CreatePlaceInput =
      kind === 'email'
        ? { kind, address: address!, ...more }
        : kind === 'ntfy'
          ? { kind, url: address!, token: value, ...more }
          : { kind, url: address!, secret: value, ...more }
    const made = await connect(hub).places.add(place)
    if (json) printJson(made)
    else {
      process.stdout.write(`${made.id}\n`)
      if (made.secret !== undefined)
        process.stderr.write(`Requests are signed with this secret, shown only once: ${made.secret}\n`)
      process.stderr.write(`Try it: errand places test ${made.id}\n`)
    }
    return 0
  },
})

const test = command({
  summary: 'Send a test notification to a place now.',
  args: '<id>',
  options: hubOptions,
  examples: ['errand places test place_abc'],
  async run(hub, [id]) {
    await connect(hub).places.test(id!)
    process.stdout.write('The test was sent.\n')
    return 0
  },
})

const remove = command({
  summary: 'Remove a place and its pending notifications.',
  args: '<id>',
  options: hubOptions,
  examples: ['errand places remove place_abc'],
  async run(hub, [id]) {
    await connect(hub).places.remove(id!)
    process.stdout.write(`${id} is removed.\n`)
    return 0
  },
})

export const places: CommandGroup = {
  summary: 'Manage the places where you get notifications.',
  commands: { list, add, test, remove },
}
