"""The entities of ../entities.ts, as SQLAlchemy has them."""
from sqlalchemy import JSON, Column, ForeignKey, Integer, String, Table
from sqlalchemy.orm import column_property, declarative_base, relationship

Base = declarative_base()


def column(*args, **options):
    """One that compares a new value with the old one, as MikroORM does, also where the old one is not loaded."""
    return column_property(Column(*args, **options), active_history=True)


item_label = Table(
    'item_label', Base.metadata,
    Column('item_id', ForeignKey('item.id'), primary_key=True),
    Column('label_id', ForeignKey('label.id'), primary_key=True)
)


class Item(Base):
    __tablename__ = 'item'
    id = Column(Integer, primary_key=True)
    version = Column(Integer, nullable=False)
    name = Column(String(100), nullable=False)
    title = column(String(100), nullable=False)
    code = column(String(100), unique=True)
    place_street = column(String(100), nullable=False)
    place_city = column(String(100), nullable=False)
    data = column(JSON(none_as_null=True))
    parts = relationship('Part', back_populates='item')
    labels = relationship('Label', secondary=item_label)
    __mapper_args__ = {'version_id_col': version}


class Part(Base):
    __tablename__ = 'part'
    id = Column(Integer, primary_key=True)
    version = Column(Integer, nullable=False)
    name = Column(String(100), nullable=False)
    title = column(String(100), nullable=False)
    item_id = Column(ForeignKey('item.id'))
    item = relationship('Item', back_populates='parts', active_history=True)
    __mapper_args__ = {'version_id_col': version}


class Label(Base):
    __tablename__ = 'label'
    id = Column(Integer, primary_key=True)
    version = Column(Integer, nullable=False)
    name = Column(String(100), nullable=False)
    title = column(String(100), nullable=False)
    __mapper_args__ = {'version_id_col': version}


CLASSES = {'item': Item, 'part': Part, 'label': Label}
