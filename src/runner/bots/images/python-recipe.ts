import { pythonRequirements } from './python-requirements.ts'
import { requirementLines } from './requirement-lines.ts'
import type { Recipe } from './simple-source.ts'

/** Dependencies from the list, and from a requirements.txt among the files, which is held to the same grammar. */
export function pythonRecipe(requirements: readonly string[], files: ReadonlyMap<string, string>): Recipe {
  const own = files.get('requirements.txt')?.split(/\r?\n/) ?? []
  const lines = pythonRequirements([
    ...requirementLines(requirements, 'requirements'),
    ...requirementLines(own, 'requirements.txt'),
  ])
  return {
    dependencies: lines.length === 0 ? {} : { 'requirements.txt': `${lines.join('\n')}\n` },
    before: [
      'ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore',
    ],
    install: ['RUN ["python", "-m", "pip", "install", "--no-cache-dir", "-r", "requirements.txt"]'],
    program: 'python',
  }
}
