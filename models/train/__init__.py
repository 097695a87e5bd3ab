"""Programs that fit the models we ship. Nothing at run time imports them."""
