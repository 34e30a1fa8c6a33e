import { realPath } from '../../platform/real-path.ts'
import { ToolError } from './tools/tool.ts'

/** What a path of the model really leads to, links resolved, whether it exists or would be created. */
export function realTarget(cwd: string, path: string): string {
  if (path.includes('\0')) throw new ToolError('A path has no NUL in it.')
  try {
    return realPath(path, cwd)
  } catch (error) {
    throw new ToolError((error as Error).message)
  }
}
