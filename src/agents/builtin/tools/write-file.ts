import { dirname } from 'node:path'
import * as z from 'zod'
import { writeFileAtomic } from '../../../platform/atomic-file.ts'
import { makeFolder } from '../../../platform/make-folder.ts'
import { fileChange } from './file-change.ts'
import { readTextIfThere } from './text-file.ts'
import { defineTool } from './tool.ts'

const Args = z.object({ path: z.string().min(1), content: z.string() })

export const writeFile = defineTool({
  name: 'write_file',
  kind: 'edit',
  description: 'Writes a whole file, with the folders on the way to it. What was in it is replaced.',
  args: Args,
  title: ({ path }) => `Write ${path}`,
  paths: ({ path }) => [path],
  async run({ content }, { paths }) {
    const path = paths[0]!
    const before = await readTextIfThere(path)
    await makeFolder(dirname(path))
    writeFileAtomic(path, content, { mode: before && before.mode & 0o7777, durable: false })
    const diff =
      before === undefined || before.type === 'text'
        ? fileChange(path, before?.text, content)
        : { path, unified: `${before.bytes} bytes, ${before.type.replace('_', ' ')}, are replaced` }
    return { output: `${before === undefined ? 'Created' : 'Replaced'} ${path}.`, diffs: [diff] }
  },
})
