"""An import-linter contract: modules may import only what their allow list names."""

import sys
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class AllowList(Contract):
    """Besides the project itself, `modules` and all below them import only `allowed` packages.

    Unlike import-linter's own "forbidden" contract it also refuses the package that nobody thought
    of when the contract was written. A module that does not exist breaks nothing.
    """

    type_name = "allow_list"

    modules = fields.ListField(subfield=fields.StringField())
    allowed = fields.SetField(subfield=fields.StringField())
    standard_library = fields.BooleanField(default=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        trespasses = [
            f"{importer}:{detail['line_number']} imports {imported}"
            for importer in sorted(self._importers(graph))
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if not self._admits(imported)
            for detail in graph.get_import_details(importer=importer, imported=imported)
        ]
        return ContractCheck(kept=not trespasses, metadata={"trespasses": trespasses})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for trespass in check.metadata["trespasses"]:
            output.print_error(trespass)
        output.new_line()

    def _importers(self, graph: ImportGraph) -> set[str]:
        roots = {name for name in cast("list[str]", self.modules) if name in graph.modules}
        return roots.union(*(graph.find_descendants(root) for root in roots))

    def _admits(self, imported: str) -> bool:
        package = imported.partition(".")[0]
        own = cast("list[str]", self.session_options["root_packages"])
        if package in own or package in cast("set[str]", self.allowed):
            return True
        return bool(self.standard_library) and package in sys.stdlib_module_names
