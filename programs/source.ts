import { kindOf, type Block, type Change, type Program, type Statement } from './program.ts'

/** The handler that a program is, as its author would have written it. */
export function source ({ method, via, flushMode, transport, retries, body, answer }: Program): string {
  const config = retries ? ', { config: { db: { retry: { attempts: 3, backoff: 1 } } } }' : ''
  const end = answer.how === 'throw'
    ? `throw Object.assign(new Error(), { statusCode: ${answer.status} })`
    : answer.how === 'send' ? `return reply.code(${answer.status}).send('ok')` : `reply.code(${answer.status})\nreturn 'ok'`
  return [
    '// item0 is the entity of that name, once it was created or found. What is not in the session is left alone.',
    `// flushMode: '${flushMode}', by ${transport === 'inject' ? 'app.inject()' : 'a socket'}`,
    `app.${method.toLowerCase()}('/'${config}, async (request, reply) => {`,
    indent(via === 'em' ? 'const em = request.db' : `const em = ${via} // the same in em.transactional()`),
    indent(lines(body, via === 'em')),
    indent(end),
    '})'
  ].join('\n')
}

function lines (block: Block, hasOwnEm: boolean): string {
  return block.map(statement => line(statement, hasOwnEm)).join('\n')
}

function line (statement: Statement, hasOwnEm: boolean): string {
  const body = (block: Block) => indent(lines(block, hasOwnEm))
  switch (statement.do) {
    case 'create': {
      const { name, title, code } = statement
      const more = kindOf(name) === 'item' ? `, code: ${literal(code)}, place: { street: 's', city: '${title}' }` : ''
      return `${name} = em.create(${className(kindOf(name))}, { name: '${name}', title: '${title}'${more} })`
    }
    case 'change': return assignment(statement.name, statement.change)
    case 'remove': return `em.remove(${statement.name}) // after its relations were removed`
    case 'persist': return `em.persist(${statement.name}) // again`
    case 'collect': return `${statement.name}.${statement.collection}.${statement.how}([${statement.members.join(', ')}])`
    case 'find': {
      const where = statement.title === undefined ? '{}' : `{ title: '${statement.title}' }`
      const more = statement.kind === 'item' && statement.populate ? ", { populate: ['parts', 'labels'], flushMode: 'always' }" : ''
      return `await em.find(${className(statement.kind)}, ${where}${more})`
    }
    case 'flush': return 'await em.flush()'
    case 'throw': return "throw new Error('thrown')"
    case 'transaction': return `await em.transactional(async ${hasOwnEm ? 'em' : '()'} => {\n${body(statement.body)}\n}${statement.propagation === 'nested' ? '' : `, { propagation: '${statement.propagation}' }`})`
    case 'catch': return `try {\n${body(statement.body)}\n} catch {}`
    case 'commit': return 'await db.commit()'
    case 'rollback': return 'await db.rollback()'
    case 'doom': return 'db.setRollbackOnly()'
    case 'parallel': return `await Promise.${statement.wait}([\n${statement.branches.map(branch => indent(`(async () => {\n${body(branch)}\n})()`)).join(',\n')}\n])`
    case 'tick': return `for (let n = 0; n < ${statement.turns}; n++) await setImmediate()`
    case 'meet': return 'await othersToCome()'
    case 'stumble': return `if (attempt <= ${statement.attempts}) throw deadlock()`
  }
}

function assignment (name: string, { property, value }: Change): string {
  if (property === 'item') return `${name}.item = ${value}`
  return `${name}.${property} = ${literal(value)}`
}

/** As the code style has it. */
function literal (value: unknown): string {
  return JSON.stringify(value).replaceAll('"', "'").replaceAll(/'(\w+)':/g, ' $1: ').replaceAll('}', ' }')
}

function className (kind: string): string {
  return kind.charAt(0).toUpperCase() + kind.slice(1)
}

function indent (text: string): string {
  return text.replaceAll(/^(?=.)/gm, '  ')
}
