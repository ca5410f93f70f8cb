"""Runs programs with SQLAlchemy: one JSON document a line comes in, one goes out. The first one says where the database is.

What a statement means is said in ../program.ts. Where the two ORMs differ by their own documentation, a comment says what is done about it.
"""
import json
import sys
import warnings

from sqlalchemy import create_engine, event, inspect, text
from sqlalchemy.exc import SAWarning, SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from entities import CLASSES, Base, Item, Part

# How often a route with retries runs its handler.
ATTEMPTS = 3

# What is not skipped where a flush has failed: see GO_ON in ../interpret.ts.
GO_ON = {'throw', 'catch', 'commit', 'rollback', 'doom'}


class ProgramError(Exception):
    """What a program throws by itself."""


class DoomedError(Exception):
    """A commit after the program has said that it can only roll back."""


class CannotTellError(Exception):
    """SQLAlchemy cannot do what MikroORM can, by its own rules."""


# What may come of a program. Anything else is a mistake in here, and ends the process.
EXPECTED = (ProgramError, DoomedError, SQLAlchemyError)


class UnitOfWork:
    """What a program has in its hands, and what has to become of it."""

    def __init__(self):
        self.entities = {}
        self.statuses = {}
        self.created = {}
        self.related = set()
        self.loaded = set()

    def live(self, name):
        return self.entities.get(name) if self.statuses.get(name) == 'live' else None

    def adopt(self, entity):
        self.entities[entity.name] = entity
        self.statuses[entity.name] = 'live'

    def savepoint(self):
        statuses, loaded = dict(self.statuses), set(self.loaded)

        def rollback():
            self.statuses, self.loaded = statuses, loaded
        return rollback


class Interpreter:
    def __init__(self, engine, session, outer=None):
        self.engine = engine
        self.session = session
        self.is_alone = outer is not None
        self.unit = UnitOfWork()
        self.observed = outer.observed if outer else []
        # What transactions of their own have made: others of the same program cannot know.
        self.made_alone = outer.made_alone if outer else set()
        self.is_doomed = False

    def block(self, block):
        for statement in block:
            if statement['do'] in GO_ON or not self.is_broken:
                getattr(self, 'do_' + statement['do'])(statement)

    @property
    def is_broken(self):
        return not self.session.is_active

    def do_create(self, statement):
        name = statement['name']
        if name in self.unit.entities or name in self.unit.created or name in self.made_alone:
            return
        if self.is_alone:
            self.made_alone.add(name)
        kind, title = kind_of(name), statement['title']
        entity = CLASSES[kind](name=name, title=title)
        if kind == 'item':
            entity.code, entity.place_street, entity.place_city, entity.data = statement['code'], 's', title, None
            self.unit.loaded.add(name)
        self.session.add(entity)
        self.unit.created[name] = entity
        self.unit.adopt(entity)

    def do_change(self, statement):
        entity, change = self.unit.live(statement['name']), statement['change']
        if entity is None:
            return
        prop, value = change['property'], change['value']
        if prop == 'place':
            entity.place_street, entity.place_city = value['street'], value['city']
        elif prop == 'place.city':
            entity.place_city = value
        elif prop == 'data.count':
            if entity.data is not None:
                # SQLAlchemy sees no change inside a JSON value unless it is told to.
                entity.data = {'count': value}
        elif prop == 'item':
            if value is None or self.unit.live(value) is not None:
                self.unit.related.update({entity.name, value})
                entity.item = None if value is None else self.unit.live(value)
        else:
            setattr(entity, prop, value)

    def do_remove(self, statement):
        self.load(statement['name'])
        entity = self.unit.live(statement['name'])
        if entity is None:
            return
        detach(entity)
        # SQLAlchemy refuses to delete what it has not inserted yet.
        if inspect(entity).pending:
            self.session.expunge(entity)
        else:
            self.session.delete(entity)
        self.unit.statuses[entity.name] = 'removed'

    def do_persist(self, statement):
        name = statement['name']
        entity = self.unit.entities.get(name)
        if entity is None or entity is not self.unit.created.get(name) or name in self.unit.statuses or name in self.unit.related:
            return
        if inspect(entity).expired_attributes:
            raise CannotTellError('a savepoint inside has expired it before it was rolled back, and its values are lost')
        # SQLAlchemy leaves it those that were rolled back.
        entity.id = entity.version = None
        self.session.add(entity)
        self.unit.statuses[name] = 'live'

    def do_collect(self, statement):
        self.load(statement['name'])
        item = self.unit.live(statement['name'])
        if item is None:
            return
        members = [self.unit.live(name) for name in statement['members'] if self.unit.live(name) is not None]
        self.unit.related.update({item.name, *(member.name for member in members)})
        collection = getattr(item, statement['collection'])
        if statement['how'] == 'set':
            setattr(item, statement['collection'], members)
        for member in members:
            if statement['how'] == 'add' and member not in collection:
                collection.append(member)
            if statement['how'] == 'remove' and member in collection:
                collection.remove(member)

    def load(self, name):
        item = self.unit.live(name)
        if not isinstance(item, Item) or name in self.unit.loaded:
            return
        self.session.flush()
        self.adopt_collections(item)

    def adopt_collections(self, item):
        if item.name in self.unit.loaded:
            return
        for member in [*item.parts, *item.labels]:
            self.unit.adopt(member)
        self.unit.loaded.add(item.name)

    def do_find(self, statement):
        self.session.flush()
        query = self.session.query(CLASSES[statement['kind']])
        if statement.get('title') is not None:
            query = query.filter_by(title=statement['title'])
        found = query.all()
        for entity in found:
            self.unit.adopt(entity)
            if statement['populate'] and isinstance(entity, Item):
                self.adopt_collections(entity)
        self.observed.append({'found': sorted(entity.name for entity in found)})

    def do_flush(self, statement):
        self.session.flush()

    def do_throw(self, statement):
        raise ProgramError('thrown')

    def do_stumble(self, statement):
        # The attempts that fail leave nothing behind, so the one that does not is all that there is to see.
        if statement['attempts'] >= ATTEMPTS:
            raise ProgramError('deadlock')

    def do_transaction(self, statement):
        if statement['propagation'] == 'requires_new':
            with open_session(self.engine) as session:
                Interpreter(self.engine, session, self).block(statement['body'])
                session.commit()
            return
        rollback = self.unit.savepoint()
        try:
            transaction = self.session.begin_nested()
            try:
                self.block(statement['body'])
                # As a context manager it would leave in silence when a flush has failed that the program has caught.
                transaction.commit()
            except Exception:
                transaction.rollback()
                raise
        except Exception:
            rollback()
            raise

    def do_catch(self, statement):
        try:
            self.block(statement['body'])
        except EXPECTED as error:
            self.observed.append({'caught': kind_of_error(error), 'message': message_of(error), 'shown': self.shown()})

    def do_commit(self, statement):
        if self.is_doomed:
            raise DoomedError('doomed')
        self.session.commit()

    def do_rollback(self, statement):
        self.session.rollback()
        self.session.expunge_all()
        created, related = self.unit.created, self.unit.related
        self.unit = UnitOfWork()
        self.unit.created, self.unit.related = created, related

    def do_doom(self, statement):
        self.is_doomed = True

    def shown(self):
        if self.is_broken:
            return None
        return [shown(entity) for name, entity in self.unit.entities.items() if self.unit.live(name) is not None]


def detach(entity):
    if isinstance(entity, Item):
        entity.parts, entity.labels = [], []
    elif isinstance(entity, Part):
        entity.item = None


def shown(entity):
    row = {'name': entity.name, 'version': entity.version, 'title': entity.title}
    if isinstance(entity, Part):
        row['item'] = None if entity.item is None else entity.item.name
    if isinstance(entity, Item):
        row.update(
            code=entity.code, place={'street': entity.place_street, 'city': entity.place_city}, data=entity.data,
            parts=sorted(part.name for part in entity.parts), labels=sorted(label.name for label in entity.labels)
        )
    return row


def kind_of(name):
    return name.rstrip('0123456789')


def kind_of_error(error):
    return 'thrown' if isinstance(error, ProgramError) else 'refused'


def message_of(error):
    return '%s: %s' % (type(error).__name__, error)


def open_session(engine):
    """It flushes before queries by hand: by itself it would for lazy loads as well, of which MikroORM has none."""
    return Session(engine, autoflush=False, future=True)


def run(engine, program):
    error = None
    with open_session(engine) as session:
        interpreter = Interpreter(engine, session)
        try:
            interpreter.block(program['body'])
            if program['answer']['how'] == 'throw':
                raise ProgramError('answered')
            is_committed = program['answer']['status'] < 400 and not interpreter.is_doomed
            if is_committed:
                session.commit()
        except CannotTellError:
            return None
        except EXPECTED as raised:
            error, is_committed = raised, False
        session.rollback()
    with engine.connect() as connection:
        tables = [[dict(row._mapping) for row in connection.execute(text(statement))] for statement in program['read']]
    return {
        'isCommitted': is_committed,
        'error': None if error is None else kind_of_error(error),
        'message': None if error is None else message_of(error),
        'observed': interpreter.observed,
        'tables': tables
    }


def open_database(url):
    if url == 'sqlite://':
        # One connection, since the database is in memory. What follows is SQLAlchemy's own advice for SAVEPOINT with SQLite.
        engine = create_engine(url, future=True, connect_args={'isolation_level': None}, poolclass=StaticPool)
        event.listen(engine, 'begin', lambda connection: connection.exec_driver_sql('BEGIN'))
    else:
        engine = create_engine(url, future=True)
    Base.metadata.create_all(engine)
    return engine


def main():
    # Programs go on after a flush that has failed.
    warnings.filterwarnings('ignore', 'Session.s state has been changed on a non-active transaction', SAWarning)
    answer = lambda document: print(json.dumps(document), flush=True)
    settings = json.loads(sys.stdin.readline())
    engine = open_database(settings['url'])
    answer({})
    for line in sys.stdin:
        with engine.begin() as connection:
            for statement in settings['reset']:
                connection.exec_driver_sql(statement)
        answer(run(engine, {**json.loads(line), 'read': settings['read']}))


main()
