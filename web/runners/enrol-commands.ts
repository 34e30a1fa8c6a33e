import { shellWord } from '../data/as-command.ts'

export interface Enrolment {
  hub: string
  token: string
  /** Name of the runner; empty for the machine's own name. */
  id: string
  /** Labels as typed: `gpu=a100, disk=ssd`. */
  labels: string
  /** The text of deploy/systemd/errand-runner.service. */
  unit: string
}

export type EnrolWay = 'command' | 'docker' | 'compose' | 'systemd'
export const enrolWays: readonly { way: EnrolWay; word: string }[] = [
  { way: 'command', word: 'Command' },
  { way: 'docker', word: 'Docker' },
  { way: 'compose', word: 'Compose' },
  { way: 'systemd', word: 'systemd' },
]

/** Splits typed labels into `KEY=value` each; returns undefined if any is invalid. */
export function labelsOf(typed: string): string[] | undefined {
  const all = typed.split(',').map((label) => label.trim())
  const labels = all.filter((label) => label !== '')
  return labels.every((label) => /^[^=\s][^=]*=/.test(label)) ? labels : undefined
}

/** Returns a name that none of these runners has, or an empty text if there are no runners. */
export function freeName(taken: readonly string[]): string {
  if (taken.length === 0) return ''
  let number = taken.length + 1
  while (taken.includes(`runner-${number}`)) number++
  return `runner-${number}`
}

/** Reports whether only the hub's own machine can reach this address. */
export const isLoopback = (hub: string): boolean =>
  /^(localhost|127\.|\[::1\]|::1)/.test(new URL(hub).hostname)

/** Returns the lines that make a machine a runner, ready for pasting. */
export function enrolCommand(way: EnrolWay, enrolment: Enrolment): string {
  const { hub, token, id } = enrolment
  const labels = labelsOf(enrolment.labels) ?? []
  const name = id === '' ? [] : [id]
  const variables = [
    `ERRAND_HUB_URL=${hub}`,
    `ERRAND_ENROLL_TOKEN=${token}`,
    ...name.map((id) => `ERRAND_RUNNER_ID=${id}`),
    ...(labels.length > 0 ? [`ERRAND_LABELS=${labels.join(',')}`] : []),
  ]
  if (way === 'command') {
    const enroll = ['errand runner enroll --hub', shellWord(hub), '--token', token]
    if (id !== '') enroll.push('--id', shellWord(id))
    const start = ['errand runner', ...labels.map((label) => `--label ${shellWord(label)}`)]
    return `${enroll.join(' ')}\n${start.join(' ')}`
  }
  if (way === 'docker')
    return [
      'docker run -d --name errand-runner --restart unless-stopped',
      ...(isLoopback(hub) ? ['--network host'] : []),
      ...variables.map((each) => `-e ${shellWord(each)}`),
      '-v errand-workspace:/var/lib/errand',
      'errand runner',
    ].join(' \\\n  ')
  if (way === 'compose') {
    const service = {
      ...{ image: 'errand', command: ['runner'], restart: 'unless-stopped' },
      ...(isLoopback(hub) ? { network_mode: 'host' } : {}),
      environment: variables.map((each) => each.replaceAll('$', '$$$$')),
      volumes: ['workspace:/var/lib/errand'],
    }
    const text = Object.entries(service).map(([key, value]) => `    ${key}: ${JSON.stringify(value)}`)
    return [
      "cat > errand-runner.yaml <<'END'",
      'services:',
      '  runner:',
      ...text,
      'volumes:',
      '  workspace: {}',
      'END',
      'docker compose -f errand-runner.yaml up -d',
    ].join('\n')
  }
  // In such a file, systemd takes `$` and backslashes literally within single quotes.
  const file = variables.map((each) =>
    each.replace(/=(.*)$/s, (_, value: string) => `=${systemdWord(value)}`),
  )
  return [
    `printf 'u errand-runner - "Errand runner" /var/lib/errand-runner\\n' | sudo tee /etc/sysusers.d/errand-runner.conf`,
    'sudo systemd-sysusers',
    'sudo install -d -m 700 /etc/errand',
    "sudo tee /etc/errand/runner.env >/dev/null <<'END'",
    ...file,
    'END',
    "sudo tee /etc/systemd/system/errand-runner.service >/dev/null <<'END'",
    enrolment.unit.trimEnd(),
    'END',
    'sudo systemctl daemon-reload && sudo systemctl enable --now errand-runner',
  ].join('\n')
}

const systemdWord = (text: string): string =>
  /^[\w@%+=:,./-]*$/.test(text) ? text : `"${text.replace(/(["\\$`])/g, '\\$1')}"`
