import { type JsonObject, object, objects, string } from '../acp/json-shape.ts'

/** A tool as a program offers it to a model. */
export interface OfferedTool {
  name: string
  /** Takes a text, not JSON. */
  custom: boolean
  /** Names of its arguments. */
  properties: string[]
  namespace?: string
}

/** The tools in a request, whichever of the three ways of asking it is; some stand in items of the input. */
export function offeredTools(body: JsonObject): OfferedTool[] {
  return [...toolsIn(body.tools), ...objects(body.input).flatMap((item) => toolsIn(item.tools))]
}

function toolsIn(tools: unknown, namespace?: string): OfferedTool[] {
  return objects(tools).flatMap((tool): OfferedTool[] => {
    if (tool.type === 'namespace') return toolsIn(tool.tools, string(tool.name))
    const inner = object(tool.function) ?? tool
    const schema = object(inner.parameters) ?? object(inner.input_schema)
    const name = string(inner.name)
    if (name === undefined) return []
    const properties = Object.keys(object(schema?.properties) ?? {})
    return [
      { name, custom: tool.type === 'custom', properties, ...(namespace === undefined ? {} : { namespace }) },
    ]
  })
}

export interface ToolUse {
  tool: OfferedTool
  /** A text for a custom tool, else an object. */
  input: unknown
}

/** A call that makes the file, by the tool for that or else by a shell; undefined where none is offered. */
export function writingCall(
  tools: readonly OfferedTool[],
  path: string,
  content: string,
): ToolUse | undefined {
  const patch = `*** Begin Patch\n*** Add File: ${path}\n+${content}\n*** End Patch\n`
  const command = `printf '%s' '${content}' > '${path}'`
  const ways: [RegExp, (tool: OfferedTool) => unknown][] = [
    [
      /^(write|write_file|create|create_file)$/i,
      (tool) =>
        named(tool, {
          file_path: path,
          filePath: path,
          path,
          content,
          contents: content,
          file_text: content,
        }),
    ],
    [/^apply_patch$/, (tool) => (tool.custom ? patch : named(tool, { input: patch, patchText: patch }))],
    [/^exec$/, () => `text(await tools.apply_patch(${JSON.stringify(patch)}))`],
    [
      /^(bash|shell|shell_command|exec_command|run_command)$/i,
      (tool) => ({
        ...(tool.name === 'shell'
          ? { command: ['sh', '-c', command] }
          : named(tool, { command, cmd: command })),
        ...named(tool, { description: 'Makes a file' }),
      }),
    ],
  ]
  for (const [name, input] of ways) {
    const tool = tools.find((each) => name.test(each.name))
    if (tool) return { tool, input: input(tool) }
  }
  return undefined
}

const named = (tool: OfferedTool, values: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(values).filter(([name]) => tool.properties.includes(name)))
