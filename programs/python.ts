import { spawnSync } from 'node:child_process'

/** The first has what was installed by hand, the second what Debian has installed. */
const PYTHONS = ['python3', '/usr/bin/python3']

/** One that has SQLAlchemy. */
export function findPython (): string | undefined {
  return PYTHONS.find(command => spawnSync(command, ['-c', 'import sqlalchemy']).status === 0)
}
