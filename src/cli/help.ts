import type { Command, CommandGroup } from './command.ts'

const column = (rows: readonly (readonly [string, string])[]): string => {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join('')
}

export function commandHelp(name: string, spec: Command): string {
  const options = Object.entries(spec.options).map(([option, { short, value, multiple, help }]) => {
    const left = `${short === undefined ? '    ' : `-${short}, `}--${option}${value === undefined ? '' : ` ${value}`}`
    return [left, multiple ? `${help} (may be repeated)` : help] as const
  })
  options.push(['-h, --help', 'Show this'])
  return (
    `${spec.summary}\n\nUsage: errand ${name}${spec.args === undefined ? '' : ` ${spec.args}`} [options]\n\n` +
    `Options:\n${column(options)}\nExample${spec.examples.length > 1 ? 's' : ''}:\n` +
    spec.examples.map((example) => `  ${example}\n`).join('')
  )
}

export function groupHelp(name: string, group: CommandGroup): string {
  const rows = Object.entries(group.commands).map(
    ([sub, spec]) => [`${sub}${spec.args === undefined ? '' : ` ${spec.args}`}`, spec.summary] as const,
  )
  return `${group.summary}\n\nUsage: errand ${name} <command>\n\nCommands:\n${column(rows)}\nMore: errand ${name} <command> --help\n`
}

export function overview(commands: readonly (readonly [string, string])[]): string {
  return (
    `Errand runs work for you on machines you own.\n\nUsage: errand <command> [options]\n\nCommands:\n${column(commands)}\n` +
    'First step: write this into hello.yaml, then "errand run hello.yaml":\n\n' +
    '  version: v0.1\n  name: hello\n  steps:\n    - name: greet\n      action: cmd.run\n      args: {cmd: echo "hello"}\n\n' +
    'More: errand <command> --help\n'
  )
}
