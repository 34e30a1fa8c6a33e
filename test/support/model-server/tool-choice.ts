import type { OfferedTool } from './request.ts'
import type { NamedTool, ToolWish } from './script.ts'

/** A call of an offered tool. `input` is a text for `custom` tools, and an object for others. */
export interface ToolCall {
  tool: OfferedTool
  input: unknown
}

type Args = { path: string; content: string; command: string }
type Choice = readonly [name: RegExp, input: (args: Args, tool: OfferedTool) => unknown]

/** Returns the arguments that the tool has, under whichever of the names it uses. */
function named(tool: OfferedTool, names: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(names).filter(([name]) => tool.properties.includes(name)))
}

const pathNames = (path: string) => ({ file_path: path, filePath: path, path })

const shell: Choice = [
  /^(bash|shell|shell_command|exec_command|local_shell|run|run_command|execute)$/i,
  ({ command }, tool) => ({
    ...(tool.name === 'shell' || tool.type === 'local_shell'
      ? { command: ['sh', '-c', command] }
      : named(tool, { command, cmd: command })),
    ...named(tool, { description: 'Runs a command' }),
  }),
]

const patchOf = (path: string, content: string): string =>
  [
    '*** Begin Patch',
    `*** Add File: ${path}`,
    ...content
      .replace(/\n$/, '')
      .split('\n')
      .map((line) => `+${line}`),
    '*** End Patch',
    '',
  ].join('\n')

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** Returns code for a tool that runs JavaScript, in which the other tools are functions. */
const called = (name: string, input: unknown): string => `text(await tools.${name}(${JSON.stringify(input)}))`

const viaShell = (command: (args: Args) => string): Choice => [
  shell[0],
  (args, tool) => shell[1]({ ...args, command: command(args) }, tool),
]

/** The tools for each wish, in order of preference. */
const choices: Record<ToolWish['kind'], readonly Choice[]> = {
  write: [
    [
      /^(write|write_file|create|create_file)$/i,
      ({ path, content }, tool) =>
        named(tool, { ...pathNames(path), content, contents: content, file_text: content }),
    ],
    [
      /^apply_patch$/,
      ({ path, content }, tool) =>
        tool.type === 'custom'
          ? patchOf(path, content)
          : named(tool, { input: patchOf(path, content), patchText: patchOf(path, content) }),
    ],
    [/^exec$/, ({ path, content }) => called('apply_patch', patchOf(path, content))],
    viaShell(({ path, content }) => `printf %s ${quoted(content)} > ${quoted(path)}`),
  ],
  read: [
    [/^(read|read_file|view)$/i, ({ path }, tool) => named(tool, pathNames(path))],
    [/^exec$/, ({ path }) => called('exec_command', { cmd: `cat ${quoted(path)}` })],
    viaShell(({ path }) => `cat ${quoted(path)}`),
  ],
  run: [shell, [/^exec$/, ({ command }) => called('exec_command', { cmd: command })]],
}

/** Picks a tool. Throws, with the names that were offered, if none of them fits. */
export function chooseTool(wish: ToolWish | NamedTool, offered: readonly OfferedTool[]): ToolCall {
  if ('name' in wish) {
    const tool = offered.find(({ name }) => name === wish.name)
    // A tool that was not offered: the program should cope with a model that invents tools.
    return { tool: tool ?? { name: wish.name, type: 'function', properties: [] }, input: wish.args }
  }
  for (const [name, input] of choices[wish.kind]) {
    const tool = offered.find((each) => name.test(each.name))
    if (tool !== undefined)
      return { tool, input: input({ path: '', content: '', command: '', ...wish.args }, tool) }
  }
  throw new Error(
    `no tool to ${wish.kind} among those offered: ${offered.map(({ name }) => name).join(', ')}`,
  )
}
